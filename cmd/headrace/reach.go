package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/fs"
)

// reach is what a mount tells of how it reaches its store, so that a command about files of the mount can do the same:
// what was given to it, and no secret.
type reach struct {
	Source        string `json:"source"`
	Endpoint      string `json:"endpoint,omitempty"`
	Region        string `json:"region,omitempty"`
	Profile       string `json:"profile,omitempty"`
	Addressing    string `json:"addressing,omitempty"` // "path" or "virtual", where it was given
	NoSignRequest bool   `json:"no_sign_request,omitempty"`
	RequesterPays bool   `json:"requester_pays,omitempty"`
	RenameObject  string `json:"rename_object,omitempty"`
	KeyLayout     string `json:"key_layout,omitempty"`
}

func (o mountOptions) reach() string {
	r := reach{
		Source: o.source.String(), Endpoint: o.store.endpoint, Region: o.store.region, Profile: o.store.profile,
		NoSignRequest: o.store.noSignRequest, RequesterPays: o.store.requesterPays, RenameObject: o.store.renameObject.String(),
		KeyLayout: o.store.layout.keys.String(),
	}
	if o.store.addressing != nil {
		r.Addressing = map[bool]string{true: "path", false: "virtual"}[*o.store.addressing]
	}
	text, err := json.Marshal(r)
	if err != nil { // no value of it can fail
		panic(err)
	}
	return string(text)
}

// under is o where it says something, and what the mount was given where o does not.
func (r reach) under(o storeOptions) storeOptions {
	if o.endpoint == "" {
		o.endpoint = r.Endpoint
	}
	if o.region == "" {
		o.region = r.Region
	}
	if o.profile == "" {
		o.profile = r.Profile
	}
	if o.addressing == nil && r.Addressing != "" {
		inPath := r.Addressing == "path"
		o.addressing = &inPath
	}
	if r.RenameObject != "" && o.renameObject.String() == "auto" {
		o.renameObject.value = r.RenameObject
	}
	if r.KeyLayout == "hashed" {
		o.layout.keys.value = r.KeyLayout
	}
	o.noSignRequest = o.noSignRequest || r.NoSignRequest
	o.requesterPays = o.requesterPays || r.RequesterPays
	return o
}

// mountOf finds the mount that an absolute path is on, and what of it is below the mount point.
func mountOf(path string) (r reach, below string, err error) {
	buffer := make([]byte, 4<<10)
	for dir := path; ; dir = filepath.Dir(dir) {
		n, err := unix.Getxattr(dir, fs.StoreAttribute, buffer)
		if err == nil {
			if err := json.Unmarshal(buffer[:n], &r); err != nil {
				return r, "", fail(exitFailure, err, "%s: what its mount says of its store cannot be read: %v", dir, err)
			}
			return r, strings.TrimPrefix(strings.TrimPrefix(path, dir), "/"), nil
		}
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.EACCES) {
			return r, "", &os.PathError{Op: "look at", Path: dir, Err: err}
		}
		if dir == filepath.Dir(dir) {
			return r, "", usage("%s is not on a mount of headrace", path)
		}
	}
}

package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Prefix is what the keys of a probe begin with.
const Prefix = ".headrace-probe-"

// cleanDeadline is for how long removing what was written is tried, whoever has told the caller to end.
const cleanDeadline = 15 * time.Second

// Answer is what was found of one power.
type Answer struct {
	Name   string `json:"name"`
	Has    bool   `json:"has"`
	Detail string `json:"detail,omitempty"` // what was seen where it has not, or why it could not be found out

	Unknown   bool `json:"unknown,omitempty"`   // it could not be found out: the store had no time for it, or
	Forbidden bool `json:"forbidden,omitempty"` // it was not allowed
}

// Result is what a store can do.
type Result struct {
	Prefix  string    `json:"prefix"` // of the keys that were written
	At      time.Time `json:"at"`
	Answers []Answer  `json:"answers"`
}

// Has tells whether a power was found.
func (r Result) Has(name string) bool {
	for _, a := range r.Answers {
		if a.Name == name {
			return a.Has
		}
	}
	return false
}

// The powers, in the order in which they are found out.
const (
	Ranges           = "ranges"
	CreateOnly       = "conditional PUT of a new object"
	ReplaceOnly      = "conditional PUT over an ETag"
	CompleteOnly     = "conditional end of a multipart upload"
	CopyOnly         = "conditional copy"
	CopyParts        = "UploadPartCopy"
	Rename           = "RenameObject"
	DeleteOnly       = "conditional removal"
	ListOrder        = "listings in the order of bytes"
	ListAfterWrite   = "listings show what was just written"
	probedObjectText = "headrace probes what this store can do; this object may be removed\n"
)

// prober is one probe under way.
type prober struct {
	bucket objstore.Bucket
	prefix string
	begun  []objstore.Upload
}

// Run probes. Its error is one that kept it from beginning; what a single power's probe has met is in the answers. At
// the end nothing of its own is left, or the error says what.
func Run(ctx context.Context, b objstore.Bucket, now time.Time) (r Result, err error) {
	p := &prober{bucket: b, prefix: Prefix + rand.Text()[:12] + "/"}
	r = Result{Prefix: p.prefix, At: now}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanDeadline)
		defer cancel()
		if left := p.clean(ctx); left != nil {
			err = errors.Join(err, fmt.Errorf("not all below %s could be removed: %w", p.prefix, left))
		}
	}()
	if _, err := p.put(ctx, "object", objstore.Condition{}); err != nil {
		return r, err
	}
	for _, c := range []struct {
		name  string
		check func(context.Context) error
	}{
		{Ranges, p.ranges},
		{CreateOnly, p.createOnly},
		{ReplaceOnly, p.replaceOnly},
		{CompleteOnly, p.completeOnly},
		{CopyOnly, p.copyOnly},
		{CopyParts, p.copyParts},
		{Rename, p.rename},
		{DeleteOnly, p.deleteOnly},
		{ListOrder, p.listOrder},
		{ListAfterWrite, p.listAfterWrite},
	} {
		err := c.check(ctx)
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		r.Answers = append(r.Answers, answerOf(c.name, err))
	}
	return r, nil
}

// answerOf is what a check says of a power. Refusals that have nothing to do with what was asked for say nothing of it.
func answerOf(name string, err error) Answer {
	if err == nil {
		return Answer{Name: name, Has: true}
	}
	a := Answer{Name: name, Detail: err.Error()}
	if failed, ok := errors.AsType[*objstore.Error](err); ok {
		switch objstore.KindOf(failed) {
		case objstore.KindThrottled, objstore.KindTimeout, objstore.KindConflict, objstore.KindQuota, objstore.KindTransport:
			a.Unknown = true
		case objstore.KindPermission, objstore.KindCredentials, objstore.KindClockSkew:
			a.Unknown, a.Forbidden = true, true
		}
	}
	return a
}

func (p *prober) put(ctx context.Context, name string, cond objstore.Condition) (objstore.Entry, error) {
	return p.bucket.Put(ctx, p.prefix+name, strings.NewReader(probedObjectText), int64(len(probedObjectText)), cond, objstore.Attributes{})
}

// clean removes what was written: what is known by name, and the uploads that the store lists, since one may have begun
// whose answer did not come any more. A listing may miss something, or be refused.
func (p *prober) clean(ctx context.Context) (err error) {
	begun := p.begun
	for u, listed := range p.bucket.ListUploads(ctx, p.prefix) {
		if listed != nil {
			break
		}
		if !slices.ContainsFunc(begun, func(known objstore.Upload) bool { return known.ID == u.ID }) {
			begun = append(begun, u)
		}
	}
	for _, u := range begun {
		if aborted := p.bucket.AbortUpload(ctx, u.Key, u.ID); !errors.Is(aborted, objstore.ErrNotExist) { // it was completed
			err = errors.Join(err, aborted)
		}
	}
	for _, name := range append([]string{"object", "twin", "copied", "renamed", "created"}, listed...) {
		err = errors.Join(err, p.bucket.Delete(ctx, p.prefix+name))
	}
	return err
}

// read gives the content of an object.
func (p *prober) read(ctx context.Context, e objstore.Entry, r objstore.Range) (string, error) {
	body, err := p.bucket.Open(ctx, objstore.VersionOf(p.bucket, e), r)
	if err != nil {
		return "", err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	return string(content), err
}

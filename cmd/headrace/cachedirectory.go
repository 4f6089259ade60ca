package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/cache/share"
	"github.com/headrace/headrace/objstore"
)

// cacheDirectory is what `headrace cache` works on: a directory that nobody uses, or one whose owner is asked.
type cacheDirectory interface {
	Users() ([]share.User, error)
	Stats() (disk.Stats, error)
	Entries() iter.Seq2[disk.Entry, error]
	Verify(context.Context, objstore.Version) (bad int, err error)
	Pin(v objstore.Version, pinned bool) error
	Evict(objstore.Version) (bytes int64, err error)
	Close() error
}

// idleDirectory is a directory that nobody uses.
type idleDirectory struct{ *disk.Tier }

func (a idleDirectory) Users() ([]share.User, error) { return nil, nil }

func (a idleDirectory) Stats() (disk.Stats, error) { return a.Tier.Stats(), nil }

// openCacheDirectory takes the directory, or finds who has it.
func openCacheDirectory(dir string) (cacheDirectory, error) {
	tier, err := disk.OpenExisting(disk.Config{Dir: dir})
	if err == nil {
		return idleDirectory{tier}, nil
	}
	if !errors.Is(err, disk.ErrInUse) {
		return nil, err
	}
	visitor, err := share.Visit(dir)
	if err != nil {
		return nil, err
	}
	return visitor, nil
}

// cacheUser is a process that uses a directory, as JSON.
type cacheUser struct {
	PID    int    `json:"pid"`
	Source string `json:"source"`
}

func cacheStatus(_ context.Context, d cacheDirectory, o cacheCommandOptions) error {
	s, err := d.Stats()
	if err != nil {
		return err
	}
	result := struct {
		Used     int64       `json:"used_bytes"`
		Index    int64       `json:"index_bytes"`
		Limit    int64       `json:"limit_bytes"`
		Free     int64       `json:"disk_free_bytes"`
		MinFree  int64       `json:"min_free_bytes"`
		Versions int64       `json:"objects"`
		Chunks   int64       `json:"chunks"`
		Names    int64       `json:"names_bytes"`
		Listings int         `json:"listings"`
		Owner    *cacheUser  `json:"owner"` // null while nobody uses it
		Sharers  []cacheUser `json:"sharers"`
	}{s.Used, s.Index, s.Limit, s.Free, s.MinFree, s.Versions, s.Chunks, 0, 0, nil, []cacheUser{}}
	result.Listings, result.Names = namesUsage(o.dir)
	users, err := d.Users()
	if err != nil {
		return err
	}
	var text strings.Builder
	for i, u := range users {
		user := cacheUser{u.PID, u.Name}
		if i == 0 {
			result.Owner = &user
			fmt.Fprintf(&text, "\nowned by process %d, which mounts %s", u.PID, u.Name)
		} else {
			result.Sharers = append(result.Sharers, user)
			fmt.Fprintf(&text, "\nshared by process %d, which mounts %s", u.PID, u.Name)
		}
	}
	return o.say(result, "%s and an index of %s used of %s, by %d objects in %d chunks; %s besides, by the names of %d directories; %s of the disk are free, of which %s stay free%s",
		sizeText(s.Used), sizeText(s.Index), sizeText(s.Limit), s.Versions, s.Chunks, sizeText(result.Names), result.Listings, sizeText(s.Free), sizeText(s.MinFree), text.String())
}

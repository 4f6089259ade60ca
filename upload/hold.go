package upload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/headrace/headrace/objstore"
)

// Hold keeps what goes by a key from being stored while the store moves that: the files that have the key, or one below
// it where it ends in a slash, also those that are opened meanwhile. They are read and written on; who publishes them
// waits.
type Hold struct {
	uploads *Uploads
	bucket  objstore.Bucket
	key     string
	ended   chan struct{} // closed by Release

	to string // set by Moved
}

// NewETag is what a move has made of an object's ETag: stores that copy may compute another one.
type NewETag struct{ Old, New string }

// Hold begins to hold a key, after what is being stored under it. ctx ends the waiting, and then nothing is held. The
// caller calls Release.
//
// Errors: EBUSY when parts of a file were let go from the disk, which belong to its key: it is to be stored first.
// objstore.ErrTimeout when what is being stored makes no progress.
func (u *Uploads) Hold(ctx context.Context, b objstore.Bucket, key string) (*Hold, error) {
	h := &Hold{uploads: u, bucket: b, key: key, ended: make(chan struct{})}
	u.mu.Lock()
	u.holds[h] = struct{}{}
	u.mu.Unlock()
	for _, f := range u.at(key) {
		if err := f.pause(ctx); err != nil {
			h.Release()
			return nil, err
		}
	}
	return h, nil
}

// StoreDue stores what was acknowledged, or was to be, of the files that have a key, or one below it where it ends in a
// slash. What is being written, and nobody has closed, is left.
//
// Errors: as [File.Publish], but for those of files that will never be stored.
func (u *Uploads) StoreDue(ctx context.Context, b objstore.Bucket, key string) error {
	h := &Hold{bucket: b, key: key}
	files := slices.DeleteFunc(u.at(key), func(f *File) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return !h.covers(f.target.Bucket, f.target.Key) || !f.goesOn() || f.publication == nil && !f.due()
	})
	for _, f := range files {
		f.begin() // all at the same time: many may have been written just now
	}
	for _, f := range files {
		if _, err := f.Store(ctx); err != nil {
			return err
		}
	}
	return nil
}

// covers tells whether a key is held.
func (h *Hold) covers(b objstore.Bucket, key string) bool {
	return (key == h.key || strings.HasSuffix(h.key, "/") && strings.HasPrefix(key, h.key)) &&
		b.Name() == h.bucket.Name() && b.Endpoint() == h.bucket.Endpoint()
}

// Moved says that all that was held goes by another key now, and which ETags have changed, by the old keys. Nothing may
// be opened by an old key any more.
func (h *Hold) Moved(to string, changed map[string]NewETag) {
	h.to = to
	for _, f := range append(h.uploads.at(h.key), h.uploads.at(to)...) {
		f.follow(h, changed)
	}
}

// Release ends the hold: what is to be stored is.
func (h *Hold) Release() {
	u := h.uploads
	u.mu.Lock()
	delete(u.holds, h)
	u.mu.Unlock()
	close(h.ended)
	u.budget.poke() // for whom nothing was let go
	files := u.at(h.key)
	if h.to != "" {
		files = append(files, u.at(h.to)...)
	}
	for _, f := range files {
		f.goOnIfDue()
	}
}

// heldBy is the hold that keeps a file of a target from being stored; nil for none.
func (u *Uploads) heldBy(t Target) *Hold {
	u.mu.Lock()
	defer u.mu.Unlock()
	for h := range u.holds {
		if h.covers(t.Bucket, t.Key) {
			return h
		}
	}
	return nil
}

// pause waits for a publication under way, and tells whether nothing more need be.
func (f *File) pause(ctx context.Context) error {
	if err := f.quiet(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.content.released) > 0 && f.goesOn() {
		return fmt.Errorf("upload: parts are stored and were let go from the disk: %w", syscall.EBUSY)
	}
	return nil
}

// goesOn tells whether something of the file is, or may be, stored. The caller holds mu.
func (f *File) goesOn() bool { return f.lost == nil && (!f.discarded || f.withdrawn != nil) }

// follow has the file go by the key that what is held goes by now. Who opened it while it was moved may have taken the
// new key with the old ETag.
func (f *File) follow(h *Hold, changed map[string]NewETag) {
	f.mu.Lock()
	old, key := f.target.Key, f.target.Key
	switch {
	case !f.goesOn():
		f.mu.Unlock()
		return
	case h.covers(f.target.Bucket, key):
		key = below(key, h.key, h.to)
	default:
		old = below(key, h.to, h.key)
		if !h.covers(f.target.Bucket, old) {
			f.mu.Unlock()
			return
		}
	}
	etag := changed[old]
	renamed := func(k, e *string) (did bool) {
		if *e == "" || *k != old && *k != key {
			return false
		}
		if did = *k != key; did {
			*k = key
		}
		if etag.Old != "" && *e == etag.Old && *e != etag.New {
			*e, did = etag.New, true
		}
		return did
	}
	base := &f.content.base
	based := renamed(&base.Key, &base.ETag)
	did := renamed(&f.target.Replaces.Key, &f.target.Replaces.ETag) || based || f.target.Key != key
	renamed(&f.last.Key, &f.last.ETag)
	if f.target.Key != key {
		f.abort()
		f.retargetLocked(f.target.to(key))
	}
	step := f.retargetStep()
	if based {
		copied := *base
		step.Base = &copied
	}
	f.mu.Unlock()
	if did {
		f.logFailure("log", ignoreClosed(f.noteName(step)))
	}
}

// goOnIfDue has the file be stored that is closed, or of which an attempt has failed.
func (f *File) goOnIfDue() {
	f.mu.Lock()
	due := f.due() && !f.discarded && f.lost == nil
	f.mu.Unlock()
	if due {
		f.begin()
	}
}

// due tells whether something is to be stored that nobody need ask for any more. The caller holds mu.
func (f *File) due() bool {
	return f.content.dirty && (f.closed || f.doubtful || f.failure != nil || f.resting.owed)
}

package fs

import (
	"context"
	"time"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
)

// directoryOf identifies a directory in which files are opened.
type directoryOf struct {
	volume *volume
	key    string
}

// newSiblings is nil where files are not brought ahead: there is no place for them, or the store is to be asked at each
// open in any case.
func newSiblings(cfg Config) *prefetch.Siblings {
	if cfg.Spare == nil || cfg.MetadataTTL == 0 && !cfg.Immutable {
		return nil
	}
	ttl := cfg.MetadataTTL
	if cfg.Immutable {
		ttl = -1
	}
	return prefetch.NewSiblings(prefetch.SiblingsConfig{Source: cfg.Spare, TTL: ttl, Now: cfg.Now})
}

// directory is the directory of a file; ok is false for those whose siblings are not foreseen.
func (f *fileSystem) directory(n *node) (d directoryOf, ok bool) {
	parent := n.parent()
	if f.siblings == nil || parent == nil || n.volume == nil {
		return d, false
	}
	return directoryOf{n.volume, parent.key()}, true
}

// foreseen tells whether the file was brought ahead, by a GET for this version and no other, so lately that the store
// need not be asked again. While it is under way it is waited for, and what it fails with is the error.
func (f *fileSystem) foreseen(ctx context.Context, n *node) (bool, error) {
	d, ok := f.directory(n)
	if !ok {
		return false, nil
	}
	asked, ok, err := f.siblings.Confirmed(ctx, d, n.version())
	if !ok || !f.fresh(asked) || n.readFromCopy(asked) {
		return false, err
	}
	n.confirm(asked)
	return true, nil
}

// readFromCopy tells whether the file's bytes, since a time, may have come from another object of the same content: see
// [objstore.Spreader].
func (n *node) readFromCopy(since time.Time) bool {
	return n.volume != nil && objstore.ReadFromCopy(n.volume.bucket, n.version(), since)
}

// siblingOpened has others of the file's directory be brought when that is likely to be worth it. fetched says that the
// file's own bytes had to be.
func (f *fileSystem) siblingOpened(n *node, fetched bool) {
	d, ok := f.directory(n)
	if !ok {
		return
	}
	f.siblings.Opened(d, n.version(), fetched, func() prefetch.Upcoming {
		if walk := d.volume.tree.Ahead(d.key, n.name()); walk != nil {
			return upcoming{d.volume.bucket, walk}
		}
		return nil
	})
}

// siblingLost notes that the file's own bytes had to be fetched, and did not come.
func (f *fileSystem) siblingLost(n *node) {
	if d, ok := f.directory(n); ok {
		f.siblings.Lost(d, n.version())
	}
}

// upcoming are the files that come next in a listing that is known, as versions.
type upcoming struct {
	bucket objstore.Bucket
	walk   *names.Ahead
}

// Next implements [prefetch.Upcoming].
func (u upcoming) Next(n int) (versions []objstore.Version, more bool) {
	items, more := u.walk.Next(n)
	versions = make([]objstore.Version, 0, len(items))
	for _, i := range items {
		versions = append(versions, objstore.Version{
			Endpoint: u.bucket.Endpoint(), Bucket: u.bucket.Name(), Key: i.Key, ETag: i.Entry.ETag, Size: i.Entry.Size,
		})
	}
	return versions, more
}

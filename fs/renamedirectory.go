package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// moveDirectory gives a directory another name: all keys below it. Nothing is stored below it from before they are
// listed until the nodes have their new names: what is written meanwhile is stored under these. ctx ends it only before
// anything is moved.
func (f *fileSystem) moveDirectory(ctx context.Context, m move) error {
	n := m.node
	from, b := n.key(), n.volume.bucket
	if m.to == n || m.to.isBelow(n) {
		return syscall.EINVAL
	}
	hold, err := f.holdBelow(ctx, b, from)
	if err != nil {
		return err
	}
	defer hold.Release()
	changed, err := f.cfg.Uploads.MoveDirectory(f.life, ctx, b, from, m.key)
	if err != nil {
		n.volume.tree.Distrust() // some of it may have moved
		return err
	}
	if m.replaced != nil {
		f.nodes.retire(m.replaced)
	}
	oldDir, oldName := n.parent().key(), n.name()
	f.locks.move(n, func() { f.nodes.move(n, m.to, m.name, m.key) })
	n.volume.tree.Rehome(from, m.key)
	n.volume.tree.Gone(oldDir, oldName)
	for _, below := range f.nodes.below(n) {
		old := from + strings.TrimPrefix(below.key(), m.key)
		f.rebase(below, changed[old])
	}
	hold.Moved(m.key, changed)
	return nil
}

// holdTries is how often what must be stored below a directory is, before it is held: a file larger than the room for
// it may let parts go again and again.
const holdTries = 3

// holdBelow keeps everything below a directory from being stored, once that is which was acknowledged, or is being
// stored.
func (f *fileSystem) holdBelow(ctx context.Context, b objstore.Bucket, prefix string) (hold *upload.Hold, err error) {
	for range holdTries {
		if err := f.cfg.Uploads.StoreDue(ctx, b, prefix); err != nil {
			return nil, err
		}
		if hold, err = f.cfg.Uploads.Hold(ctx, b, prefix); !errors.Is(err, syscall.EBUSY) {
			break
		}
	}
	return hold, err
}

// rebase has a file below a directory that was moved go by its new object: it is asked for when it is opened next, and
// who has it open reads and writes on.
func (f *fileSystem) rebase(n *node, etag upload.NewETag) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.confirmed, n.deferred = time.Time{}, true
	if n.etag != "" && n.etag == etag.Old {
		n.etag = etag.New
	}
	if n.covers.ETag != "" {
		if n.covers.Key = n.key(); n.covers.ETag == etag.Old {
			n.covers.ETag = etag.New
		}
	}
}

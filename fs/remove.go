package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// Unlink removes a file. Who has it open reads on.
func (f *fileSystem) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	dir, status := f.changeable(header, header.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	name = strings.Clone(name)
	return f.seeThrough(r, func() fuse.Status { return f.unlinkName(r, dir, name) })
}

// unlinkName is Unlink once the request is known to make sense.
func (f *fileSystem) unlinkName(ctx context.Context, dir *node, name string) fuse.Status {
	done, err := f.turns.take(ctx, dir.volume, nameIn(dir, name))
	if err != nil {
		return f.answer("unlink", dir.childPath(name), err, errnoOf(err))
	}
	defer done()
	n, err := f.child(ctx, dir, name)
	if err != nil {
		return f.answer("unlink", dir.childPath(name), err, errnoOf(err))
	}
	defer f.nodes.forget(n.id, 1)
	if n.dir {
		return fuse.EISDIR
	}
	if err := f.unlink(ctx, n); err != nil {
		return f.answer("unlink", dir.childPath(name), err, errnoOf(err))
	}
	if err := f.keepDirectory(f.life, dir); err != nil {
		return f.answer("unlink", dir.childPath(name), err, errnoOf(err))
	}
	return fuse.OK
}

// unlink removes a file's object, and its name. What is written and not stored is given up only when the object is
// gone. ctx ends it only before the store is asked for that.
func (f *fileSystem) unlink(ctx context.Context, n *node) error {
	b, key := n.volume.bucket, n.key()
	v, restore, err := f.clear(ctx, move{replaced: n, key: key})
	if err != nil {
		return err
	}
	if v.ETag != "" {
		err = b.Delete(f.life, key)
	}
	failed := err != nil
	defer func() { restore(failed) }()
	if failed {
		return err
	}
	f.forgetName(n)
	if f.detach(f.life, n) { // what was being stored meanwhile may have come to be
		return b.Delete(f.life, key)
	}
	return nil
}

// replaces is the object that is under the node's key, as far as is known: its own, or one that it was renamed over and
// is to replace.
func (n *node) replaces() objstore.Version {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.etag == "" {
		return n.covers
	}
	return n.versionLocked()
}

// keepContent lets those who have a file open read on when its name is gone or means something else: what is not here
// of what they read is fetched. It counts as a handle meanwhile: the last of the others may be released at any moment,
// and would end the upload that is fetched into.
func (f *fileSystem) keepContent(ctx context.Context, n *node) error {
	n.mu.Lock()
	if n.opens == 0 || n.io.mode == ioPassthrough || n.removed { // a local file stays
		n.mu.Unlock()
		return nil
	}
	n.opens++
	u, began, err := f.uploadLocked(n, fromVersion, false)
	n.mu.Unlock()
	defer func() {
		f.publishLast(n, nil)
		f.closeNode(n)
	}()
	if began {
		f.nodes.hold(n)
	}
	if err != nil {
		return err
	}
	err = u.Localise(ctx, f.cfg.KeepRemoved)
	if errors.Is(err, objstore.ErrQuota) || readErrno(err) == syscall.ESTALE { // it is more than is kept, or gone already
		return nil
	}
	return err
}

// detach has a node be what its handles have, and nothing that has a name. appeared tells that something was being
// stored under its key; ctx ends that it is waited for.
func (f *fileSystem) detach(ctx context.Context, n *node) (appeared bool) {
	var u *upload.File
	f.locks.move(n, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		u, n.removed = n.upload, true
		if u != nil && !n.lost {
			n.volume.tree.Release(n.parent().key(), n.name())
		}
	})
	f.nodes.retire(n)
	if u != nil {
		appeared = u.Discard(ctx)
		f.settle(n)
	}
	return appeared
}

// forgetName has a name be gone for this mount.
func (f *fileSystem) forgetName(n *node) {
	n.volume.tree.Gone(n.parent().key(), n.name())
	f.nodes.retire(n)
}

// markerTrust is for how long a directory is believed to have an object of its own, which another client may remove: to
// ask each time would be a LIST for each name that is removed.
const markerTrust = time.Minute

// keepDirectory makes sure that a directory that has lost its last name is still there: without a marker of its own it
// would go with it.
func (f *fileSystem) keepDirectory(ctx context.Context, dir *node) error {
	asked := f.cfg.Now()
	if dir.key() == "" || dir.key() == f.cfg.Prefix || asked.Sub(dir.markedAt()) < markerTrust {
		return nil
	}
	empty, marked, err := dir.volume.tree.Marked(ctx, dir.key())
	if err != nil {
		return err
	}
	if marked {
		dir.mark(asked)
	} else if empty {
		return f.putMarker(ctx, dir)
	}
	return nil
}

// putMarker makes a directory's object, unless it is there.
func (f *fileSystem) putMarker(ctx context.Context, dir *node) error {
	err := makeMarker(ctx, dir.volume.bucket, dir.key(), dir.metadata())
	if err != nil && !errors.Is(err, objstore.ErrExists) {
		return err
	}
	dir.volume.tree.Forget(dir.parent().key(), dir.name()) // a listing may be without it: all that was in it was not stored
	dir.mark(f.cfg.Now())
	return nil
}

// mark notes that a directory had an object of its own at a time.
func (n *node) mark(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marked = at
}

// markedAt is when this mount last knew that the directory has an object of its own; zero for never.
func (n *node) markedAt() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.marked
}

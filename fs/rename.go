package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// Rename gives a file or a directory another name, in place of what had it.
func (f *fileSystem) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	from, status := f.changeable(&in.InHeader, in.NodeId, oldName)
	if status != fuse.OK {
		return status
	}
	to, status := f.changeable(&in.InHeader, in.Newdir, newName)
	switch {
	case status != fuse.OK:
		return status
	case in.Flags&^unix.RENAME_NOREPLACE != 0:
		return fuse.EINVAL
	case from.volume != to.volume: // two buckets
		return fuse.Status(syscall.EXDEV)
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	n, err := f.child(r, from, oldName)
	if err != nil {
		return f.answer("rename", from.childPath(oldName), err, errnoOf(err))
	}
	defer f.nodes.forget(n.id, 1)
	m := move{node: n, from: from, to: to, name: newName, mustBeNew: in.Flags&unix.RENAME_NOREPLACE != 0}
	if errno := f.target(r, &m); errno != 0 {
		return fuse.Status(errno)
	}
	if m.replaced != nil {
		defer f.nodes.forget(m.replaced.id, 1)
	}
	if n.dir {
		err = f.moveDirectory(r, m)
	} else {
		err = f.moveFile(r, m)
	}
	if err == nil {
		err = f.keepDirectory(r, from)
	}
	if err != nil {
		return f.answer("rename", from.childPath(oldName), err, createErrno(err))
	}
	return fuse.OK
}

// move is a rename under way.
type move struct {
	node     *node
	from, to *node // directories
	name     string
	key      string // the new one
	replaced *node  // what has the name; nil for nothing

	mustBeNew bool
}

// target finds what the new name means, and whether it may be replaced.
func (f *fileSystem) target(ctx context.Context, m *move) syscall.Errno {
	failed := func(err error) syscall.Errno {
		return syscall.Errno(f.answer("rename", m.to.childPath(m.name), err, createErrno(err)))
	}
	n, err := f.child(ctx, m.to, m.name)
	if err != nil && !errors.Is(err, objstore.ErrNotExist) {
		return failed(err)
	}
	if err == nil {
		errno := replaceable(m.node, n, m.mustBeNew)
		if errno == 0 && n.dir {
			var empty bool
			if empty, err = n.volume.tree.Empty(ctx, n.key()); err != nil {
				errno = failed(err)
			} else if !empty {
				errno = syscall.ENOTEMPTY
			}
		}
		if errno != 0 {
			f.nodes.forget(n.id, 1)
			return errno
		}
		m.replaced, m.key = n, n.key()
		return 0
	}
	if m.key, err = m.to.volume.tree.NewKey(m.to.key(), m.name, m.node.dir); err != nil {
		return failed(err)
	}
	return 0
}

// replaceable tells whether n may take the name of old.
func replaceable(n, old *node, mustBeNew bool) syscall.Errno {
	switch {
	case mustBeNew:
		return syscall.EEXIST
	case old.dir && !n.dir:
		return syscall.EISDIR
	case !old.dir && n.dir:
		return syscall.ENOTDIR
	}
	return 0
}

// moveFile gives a file another name. What is not stored yet will be under the new key; what is stored is moved by the store. What has the name is given up
// only when that is done: until then it may have been acknowledged, and be nowhere else.
func (f *fileSystem) moveFile(ctx context.Context, m move) (err error) {
	replaces, restore, err := f.clear(ctx, m)
	if err != nil {
		return err
	}
	defer func() { restore(err != nil) }()
	for done := false; !done && err == nil; { // once, but for who writes in between
		switch u := m.node.writing(); {
		case u == nil:
			_, err = f.moveStored(ctx, m, replaces)
			done = true
		case u.Changed():
			done, err = f.moveUnstored(ctx, m, u, replaces)
		default:
			done, err = u.MoveStored(ctx, func() (objstore.Version, error) { return f.moveStored(ctx, m, replaces) })
		}
	}
	if err != nil {
		return err
	}
	f.renameNode(ctx, m)
	return nil
}

// clear has nothing of what a file is to replace be stored any more, and tells what the store has of it; no version for nothing. restore must be called once the
// rename is done, or has failed, and then gives the name back.
func (f *fileSystem) clear(ctx context.Context, m move) (v objstore.Version, restore func(failed bool), err error) {
	n := m.replaced
	if n == nil {
		return objstore.Version{}, func(bool) {}, nil
	}
	if err := f.keepContent(ctx, n); err != nil {
		return objstore.Version{}, nil, err
	}
	n.open(f.cfg.Files) // or its upload could end with the last handle, and could not be given back
	n.mu.Lock()
	u := n.upload
	n.mu.Unlock()
	restore = func(failed bool) {
		if u != nil && failed {
			u.Restore()
		}
		f.publishLast(n, nil)
		f.closeNode(n)
	}
	appeared := u != nil && u.Withdraw(ctx) // else it would be stored under the name, after this
	v = n.replaces()
	if appeared {
		switch e, err := n.volume.bucket.Stat(ctx, m.key); {
		case err == nil:
			v = objstore.VersionOf(n.volume.bucket, e)
		case !errors.Is(err, objstore.ErrNotExist):
			restore(true)
			return objstore.Version{}, nil, err
		}
	}
	if v.ETag == "" {
		v = objstore.Version{}
	}
	return v, restore, nil
}

// moveStored has the store move an object in place of what has the key, and takes over what the store says of it.
func (f *fileSystem) moveStored(ctx context.Context, m move, replaces objstore.Version) (objstore.Version, error) {
	e, err := f.moveObject(ctx, m, replaces)
	if err != nil {
		return objstore.Version{}, err
	}
	n := m.node
	v := n.version()
	v.Key, v.ETag = m.key, e.ETag
	n.mu.Lock()
	defer n.mu.Unlock()
	n.etag, n.confirmed, n.deferred = e.ETag, f.cfg.Now(), false
	if !e.ModTime.IsZero() {
		n.modTime = e.ModTime.Unix()
	}
	return v, nil
}

// moveObject moves an object. If the key holds something else than what was known, it is looked at once more: a rename replaces whatever is there, unless it must
// not.
func (f *fileSystem) moveObject(ctx context.Context, m move, replaces objstore.Version) (objstore.Entry, error) {
	b, stored := m.node.volume.bucket, m.node.version()
	cond := objstore.Condition{IfMatch: replaces.ETag, IfNew: replaces.ETag == ""}
	e, err := f.cfg.Uploads.MoveObject(ctx, b, stored, m.key, cond)
	if m.mustBeNew || !errors.Is(err, objstore.ErrExists) && !errors.Is(err, objstore.ErrChanged) {
		return e, err
	}
	switch now, lookErr := b.Stat(ctx, m.key); {
	case errors.Is(lookErr, objstore.ErrNotExist):
		cond = objstore.Condition{IfNew: true}
	case lookErr != nil:
		return e, lookErr
	default:
		cond = objstore.Condition{IfMatch: now.ETag}
	}
	return f.cfg.Uploads.MoveObject(ctx, b, stored, m.key, cond)
}

// moveUnstored moves a file of which something is to be stored; did is false when there is nothing left to be, since it was being stored. Where its old name has
// an object, what is written is stored under the new key before that goes.
func (f *fileSystem) moveUnstored(ctx context.Context, m move, u *upload.File, replaces objstore.Version) (did bool, err error) {
	did, err = u.Retarget(ctx, upload.Target{Bucket: m.node.volume.bucket, Key: m.key, Replaces: replaces})
	if errors.Is(err, syscall.EBUSY) { // it must be stored where it is, and moved then
		return false, f.publishBy(ctx, m.node, u.Store)
	}
	if err != nil || !did {
		return did, err
	}
	n := m.node
	old := n.replaces()
	if old.ETag == "" {
		n.mu.Lock()
		n.covers = replaces
		n.mu.Unlock()
		return true, nil
	}
	// What is not local of it is in the old object: that stays until the new one is there.
	if err := f.publishBy(ctx, n, u.Store); isLost(err) {
		return true, err
	} else if err != nil {
		u.Withdraw(ctx) // who asked may have been killed: it must not be stored under the new key after this
		back, failure := u.Retarget(context.WithoutCancel(ctx), upload.Target{Bucket: n.volume.bucket, Key: old.Key, Replaces: old})
		u.Restore()
		if back || failure != nil {
			return true, errors.Join(err, failure)
		} // it was stored after all
	}
	return true, n.volume.bucket.Delete(ctx, old.Key)
}

// renameNode has the node go by its new name, once the store does.
func (f *fileSystem) renameNode(ctx context.Context, m move) {
	n, tree := m.node, m.node.volume.tree
	oldDir, oldName := n.parent().key(), n.name()
	if m.replaced != nil {
		f.detach(ctx, m.replaced)
	}
	f.locks.move(n, func() { f.nodes.move(n, m.to, m.name, m.key) })
	n.mu.Lock()
	item, held := n.itemLocked(), n.upload != nil
	if held {
		tree.Release(oldDir, oldName)
		tree.Hold(m.to.key(), item)
	}
	n.mu.Unlock()
	tree.Gone(oldDir, oldName)
	if !held {
		tree.Learn(m.to.key(), item)
	}
}

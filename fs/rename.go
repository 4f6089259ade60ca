package fs

import (
	"context"
	"errors"
	"strings"
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
	m := move{from: from, to: to, oldName: strings.Clone(oldName), name: strings.Clone(newName), mustBeNew: in.Flags&unix.RENAME_NOREPLACE != 0}
	return f.seeThrough(r, func() fuse.Status { return f.rename(r, m) })
}

// seeThrough has do come to its end whatever becomes of the request: what it has begun in the store must become known here. Who is killed is let go at once. do goes on
// with the request's context, which has ended then, until it asks the store for a change, and from there on with the mount's. It may use nothing of the kernel's request.
func (f *fileSystem) seeThrough(r *request, do func() fuse.Status) fuse.Status {
	answered := make(chan fuse.Status, 1)
	f.watchers.Go(func() { answered <- do() })
	select {
	case status := <-answered:
		return status
	case <-r.Done():
		return fuse.EINTR
	}
}

// rename is Rename once the request is known to make sense.
func (f *fileSystem) rename(ctx context.Context, m move) fuse.Status {
	oldPath := m.from.childPath(m.oldName)
	done, err := f.turns.take(ctx, m.from.volume, func() []string { return []string{m.from.key() + m.oldName, m.to.key() + m.name} })
	if err != nil {
		return f.answer("rename", oldPath, err, errnoOf(err))
	}
	defer done()
	if m.node, err = f.child(ctx, m.from, m.oldName); err != nil {
		return f.answer("rename", oldPath, err, errnoOf(err))
	}
	defer f.nodes.forget(m.node.id, 1)
	if errno := f.target(ctx, &m); errno != 0 {
		return fuse.Status(errno)
	}
	if m.replaced != nil {
		defer f.nodes.forget(m.replaced.id, 1)
	}
	if m.node.dir {
		err = f.moveDirectory(ctx, m)
	} else {
		err = f.moveFile(ctx, m)
	}
	if err == nil {
		err = f.keepDirectory(f.life, m.from)
	}
	if err != nil {
		return f.answer("rename", oldPath, err, createErrno(err))
	}
	return fuse.OK
}

// move is a rename under way.
type move struct {
	node     *node
	from, to *node // directories
	oldName  string
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
// only when that is done: until then it may have been acknowledged, and be nowhere else. ctx ends it only before the store is asked.
func (f *fileSystem) moveFile(ctx context.Context, m move) (err error) {
	replaces, restore, err := f.clear(ctx, m)
	if err != nil {
		return err
	}
	done := false
	defer func() { restore(!done) }()
	for !done && err == nil { // once, but for who writes in between
		switch u := m.node.writing(); {
		case ctx.Err() != nil:
			err = ctx.Err()
		case m.node.isLost():
			err = errStale
		case u != nil && u.Changed():
			done, err = f.moveUnstored(ctx, m, u, replaces)
		default:
			done, err = f.moveStored(ctx, m, replaces)
		}
	}
	return err
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

// moveStored has the store move an object in place of what has the key, and the node go by what it is then. Nothing of the file is stored meanwhile, though it may be written
// to. done is false when there is no object yet.
func (f *fileSystem) moveStored(ctx context.Context, m move, replaces objstore.Version) (done bool, err error) {
	n := m.node
	hold, err := f.cfg.Uploads.Hold(ctx, n.volume.bucket, n.key())
	if err != nil {
		return false, f.storeWhereItIs(ctx, n, err)
	}
	defer hold.Release()
	v := n.version()
	if v.ETag == "" {
		if u := n.writing(); u == nil || !u.Changed() {
			return false, errStale
		}
		return false, nil
	}
	e, err := f.moveObject(f.life, m, replaces)
	if err != nil {
		return false, err
	}
	n.mu.Lock()
	n.etag, n.confirmed, n.deferred = e.ETag, f.cfg.Now(), false
	if !e.ModTime.IsZero() {
		n.modTime = e.ModTime.Unix()
	}
	n.mu.Unlock()
	f.renameNode(m)
	hold.Moved(m.key, map[string]upload.NewETag{v.Key: {Old: v.ETag, New: e.ETag}})
	return true, nil
}

// storeWhereItIs stores a file under its old name where err says that it must be before it can have another; else it is err.
func (f *fileSystem) storeWhereItIs(ctx context.Context, n *node, err error) error {
	u := n.writing()
	if !errors.Is(err, syscall.EBUSY) || u == nil {
		return err
	}
	return f.publishBy(ctx, n, u.Store)
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

// renameTries is how often a file is stored in place of what others put under its new name in the same moment.
const renameTries = 4

// moveUnstored moves a file of which something is to be stored; done is false when there is nothing left to be, since it was being stored. Where its old name has
// an object, what is written is stored under the new key before that goes: in place of whatever is there, unless it must be new. When that fails the file is what it was.
func (f *fileSystem) moveUnstored(ctx context.Context, m move, u *upload.File, replaces objstore.Version) (done bool, err error) {
	n := m.node
	var over *upload.File
	if m.replaced != nil {
		over = m.replaced.writing()
	}
	left, done, err := f.renameUpload(ctx, m, u, replaces, over)
	if err != nil && !done {
		return false, f.storeWhereItIs(ctx, n, err)
	} else if !done {
		return false, nil
	}
	if err == nil && left.ETag != "" {
		err = f.removeVersion(f.life, n.volume.bucket, left)
	}
	if left.ETag == "" {
		n.mu.Lock()
		if n.etag == "" { // else it is stored by now
			n.covers = replaces
		}
		n.mu.Unlock()
	}
	f.renameNode(m)
	return true, err
}

// renameUpload has what is written be stored under the new key.
func (f *fileSystem) renameUpload(ctx context.Context, m move, u *upload.File, replaces objstore.Version, over *upload.File) (left objstore.Version, done bool, err error) {
	b := m.node.volume.bucket
	for tries := renameTries; ; tries-- {
		left, done, err = u.Rename(ctx, f.life, upload.Target{Bucket: b, Key: m.key, Replaces: replaces}, over)
		switch {
		case done || !isLost(err):
			return left, done, err
		case m.mustBeNew:
			return left, false, errors.Join(objstore.ErrExists, err)
		case tries == 1:
			return left, false, err
		}
		e, err := b.Stat(ctx, m.key)
		if replaces = objstore.VersionOf(b, e); errors.Is(err, objstore.ErrNotExist) {
			replaces = objstore.Version{}
		} else if err != nil {
			return left, false, err
		}
	}
}

// removeVersion deletes an object if it is still this version. The store deletes under no condition, so what is put there in the moment between is lost.
func (f *fileSystem) removeVersion(ctx context.Context, b objstore.Bucket, v objstore.Version) error {
	e, err := b.Stat(ctx, v.Key)
	if errors.Is(err, objstore.ErrNotExist) || err == nil && e.ETag != v.ETag {
		return nil
	} else if err != nil {
		return err
	}
	return b.Delete(ctx, v.Key)
}

// renameNode has the node go by its new name, once the store does.
func (f *fileSystem) renameNode(m move) {
	n, tree := m.node, m.node.volume.tree
	oldDir, oldName := n.parent().key(), n.name()
	if m.replaced != nil {
		f.detach(m.replaced)
	}
	f.locks.move(n, func() { f.nodes.move(n, m.to, m.name, m.key) })
	n.mu.Lock()
	item, held := n.itemLocked(), n.upload != nil
	tree.Release(oldDir, oldName) // also when its writing has ended just now, under the new name
	if held {
		tree.Hold(m.to.key(), item)
	}
	n.mu.Unlock()
	tree.Gone(oldDir, oldName)
	if !held {
		tree.Learn(m.to.key(), item)
	}
}

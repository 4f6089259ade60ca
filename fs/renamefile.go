package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// moveFile gives a file another name. What is not stored yet will be under the new key; what is stored is moved by the
// store. What has the name is given up only when that is done: until then it may have been acknowledged, and be nowhere
// else. Where the file was never closed, and would be kept for its owner after a crash, that is stored first, as often
// as somebody goes on to write to it. ctx ends it only before the store is asked.
func (f *fileSystem) moveFile(ctx context.Context, m move) error {
	for {
		err := f.moveOver(ctx, m)
		if !errors.Is(err, upload.ErrStoreFirst) {
			return err
		}
		if over := m.replaced.writing(); over != nil {
			if err := f.publishBy(ctx, m.replaced, over.Store); err != nil && !isLost(err) { // what is lost is kept
				return err
			}
		}
	}
}

// moveOver is moveFile, unless what has the name is to be stored first.
func (f *fileSystem) moveOver(ctx context.Context, m move) (err error) {
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

// clear has nothing of what a file is to replace be stored any more, and tells what the store has of it; no version for
// nothing. restore must be called once the rename is done, or has failed, and then gives the name back.
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

// moveStored has the store move an object in place of what has the key, and the node go by what it is then. Nothing of
// the file is stored meanwhile, though it may be written to. done is false when there is no object yet.
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
		m.to.volume.tree.Forget(m.to.key(), m.name) // it may have been copied, and not removed
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

// storeWhereItIs stores a file under its old name where err says that it must be before it can have another; else it is
// err.
func (f *fileSystem) storeWhereItIs(ctx context.Context, n *node, err error) error {
	u := n.writing()
	if !errors.Is(err, syscall.EBUSY) || u == nil {
		return err
	}
	return f.publishBy(ctx, n, u.Store)
}

// moveObject moves an object. If the key holds something else than what was known, it is looked at once more: a rename
// replaces whatever is there, unless it must not.
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

// moveUnstored moves a file of which something is to be stored; done is false when there is nothing left to be, since
// it was being stored. Where its old name has an object, what is written is stored under the new key before that goes:
// in place of whatever is there, unless it must be new. When that fails the file is what it was.
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
	kept := false
	if err == nil && left.ETag != "" {
		kept, err = f.removeOld(n.volume.bucket, left)
	}
	n.mu.Lock()
	if n.etag == "" { // else it is stored by now
		n.covers = replaces
	}
	n.mu.Unlock()
	f.renameNode(m)
	if kept {
		m.from.volume.tree.Forget(m.from.key(), m.oldName)
	}
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

// removeOld removes the object that a file has left under its old name. The file is under its new one by then, so that
// an error says that the old name is there as well, for others or, kept, for this mount too: what the store could not
// do just now is tried again until it is done.
func (f *fileSystem) removeOld(b objstore.Bucket, v objstore.Version) (kept bool, err error) {
	err = f.cfg.Uploads.RemoveVersion(f.life, b, v)
	switch {
	case err == nil, errors.Is(err, objstore.ErrChanged): // it is somebody else's now
		return false, nil
	case upload.Refused(err):
		return true, err
	}
	failure := f.cfg.Uploads.RemoveLater(b, v)
	return failure != nil, errors.Join(err, failure)
}

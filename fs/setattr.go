package fs

import (
	"bytes"
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// attributeFields are what of a SETATTR is about attributes.
const attributeFields = ^uint32(fuse.FATTR_SIZE | fuse.FATTR_FH | fuse.FATTR_LOCKOWNER | fuse.FATTR_CTIME)

// SetAttr answers chmod, chown, utimes and truncate. The first three are kept with the node and, with
// [Config.PosixMetadata], in the store before this returns, or with what is being written; what is truncated by its
// path is stored before this returns.
func (f *fileSystem) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	switch {
	case n == nil:
		return fuse.Status(syscall.ESTALE)
	case f.cfg.Uploads == nil:
		return fuse.EROFS
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	if size, ok := in.GetSize(); ok {
		if status := f.truncate(r, in, n, int64(size)); status != fuse.OK {
			return status
		}
	}
	if in.Valid&attributeFields != 0 {
		now := in.Valid & (fuse.FATTR_MTIME_NOW | fuse.FATTR_ATIME_NOW)
		if !f.owns(&in.InHeader, n) && (now == 0 || !f.mayChange(&in.InHeader, n)) {
			return fuse.EPERM
		}
		wanted, seconds := *in, f.cfg.Now().Unix()
		if status := f.setAttributes(r, n, func() error { n.given.set(&wanted, seconds); return nil }); status != fuse.OK {
			return status
		}
	}
	f.fillAttr(n, &out.Attr)
	out.SetTimeout(f.attrValidity(n))
	return fuse.OK
}

// setAttributes changes a node's attributes by set, which is called with its lock held, and has the object bear them
// where it is to. When that fails they are what they were. What set refuses with an errno is answered with that.
func (f *fileSystem) setAttributes(r *request, n *node, set func() error) fuse.Status {
	if f.cfg.PosixMetadata && n.parent() != nil && n.volume != nil && n.parent().volume != nil {
		return f.seeThrough(r, func() fuse.Status { return f.refuseAttributes(n, f.setStored(r, n, set)) })
	}
	n.mu.Lock()
	err := set()
	n.mu.Unlock()
	return f.refuseAttributes(n, err)
}

// refuseAttributes is the answer to a change of attributes.
func (f *fileSystem) refuseAttributes(n *node, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	if errno, ok := err.(syscall.Errno); ok {
		return fuse.Status(errno)
	}
	return f.refuse("set attributes", n, err)
}

// setStored is setAttributes where objects bear them. ctx ends it only before the store is asked for that.
func (f *fileSystem) setStored(ctx context.Context, n *node, set func() error) error {
	done, err := f.turns.take(ctx, n.volume, func() []string { return []string{n.shown()} }) // or one change would undo another
	if err != nil {
		return err
	}
	defer done()
	if err := f.describe(ctx, n, f.cfg.Now()); err != nil {
		return err
	}
	n.mu.Lock()
	given, xattrs := n.given, n.xattrs
	err = set()
	n.mu.Unlock()
	if err == nil {
		err = f.storeAttributes(ctx, n)
	}
	if err != nil {
		n.mu.Lock()
		n.given, n.xattrs = given, xattrs
		n.mu.Unlock()
	}
	return err
}

// storeAttributes has the object bear the attributes of its node. What is written and not stored yet will, when it is.
func (f *fileSystem) storeAttributes(ctx context.Context, n *node) error {
	if n.dir {
		return f.describeMarker(ctx, n)
	}
	if u := n.writing(); u != nil && u.Changed() {
		if did, err := u.Redescribe(); did || err != nil {
			return err
		}
	}
	hold, err := f.cfg.Uploads.Hold(ctx, n.volume.bucket, n.key())
	if errors.Is(err, syscall.EBUSY) { // it is being written by now
		return nil
	} else if err != nil {
		return err
	}
	defer hold.Release()
	v := n.version()
	e, err := f.rewrite(n, v)
	if err == nil {
		hold.Moved(v.Key, map[string]upload.NewETag{v.Key: {Old: v.ETag, New: e.ETag}})
	}
	return err
}

// rewrite has the store give a file's object the metadata of its node. When it was changed goes along, since the store
// takes this for a change.
func (f *fileSystem) rewrite(n *node, v objstore.Version) (objstore.Version, error) {
	n.mu.Lock()
	if n.given.has&givenModTime == 0 {
		n.given.modTime, n.given.has = n.modTime, n.given.has|givenModTime
	}
	metadata := n.metadataLocked()
	n.mu.Unlock()
	if v.ETag == "" || isRemoved(n) {
		return v, nil
	}
	e, err := f.cfg.Uploads.Rewrite(f.life, n.volume.bucket, v, func(a *objstore.Attributes) { upload.Describe(a, metadata) })
	if err != nil {
		return v, f.staleness(n, err)
	}
	v.ETag = e.ETag
	n.mu.Lock()
	defer n.mu.Unlock()
	n.etag, n.confirmed, n.deferred = e.ETag, f.cfg.Now(), false
	n.describedSince = n.confirmed
	n.volume.tree.Learn(n.parent().key(), n.itemLocked())
	return v, nil
}

func isRemoved(n *node) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.removed
}

// describeMarker has a directory's object bear the attributes of its node, and makes it where there is none.
func (f *fileSystem) describeMarker(ctx context.Context, n *node) error {
	n.mu.Lock()
	metadata := n.metadataLocked()
	n.mu.Unlock()
	b := n.volume.bucket
	e, err := b.Stat(metadataRequest(ctx), n.key())
	switch {
	case err == nil:
		_, err = f.cfg.Uploads.Rewrite(f.life, b, objstore.VersionOf(b, e), func(a *objstore.Attributes) { upload.Describe(a, metadata) })
	case errors.Is(err, objstore.ErrNotExist):
		err = makeMarker(f.life, b, n.key(), metadata)
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.describedSince = f.cfg.Now()
	n.marked = n.describedSince
	return nil
}

// markerType is what other tools give the objects that stand for directories.
const markerType = "application/x-directory"

// makeMarker makes the object that stands for a directory: ErrExists when there is one.
func makeMarker(ctx context.Context, b objstore.Bucket, key string, metadata map[string]string) error {
	attrs := objstore.Attributes{ContentType: markerType}
	upload.Describe(&attrs, metadata)
	_, err := b.Put(ctx, key, bytes.NewReader(nil), 0, objstore.Condition{IfNew: true}, attrs)
	return err
}

// truncate changes a file's size: by a handle as any write, else by a handle of its own for as long as that takes.
func (f *fileSystem) truncate(ctx context.Context, in *fuse.SetAttrIn, n *node, size int64) fuse.Status {
	cut := func(u *upload.File) error { return u.Truncate(ctx, size) }
	if number, ok := in.GetFh(); ok {
		if h, ok := f.files.get(number); ok && h.writable {
			return f.change(ctx, "truncate", h, in.Pid, cut)
		}
	}
	var out fuse.OpenOut
	flags := uint32(syscall.O_WRONLY)
	if size == 0 {
		flags |= syscall.O_TRUNC
	}
	if status := f.open(ctx, &in.InHeader, n, flags, &out); status != fuse.OK {
		return status
	}
	h, _ := f.files.remove(out.Fh)
	defer f.closeFile(h)
	if status := f.change(ctx, "truncate", h, in.Pid, cut); status != fuse.OK {
		return status
	}
	return f.storeNow(ctx, "truncate", n)
}

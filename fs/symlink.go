package fs

import (
	"context"
	"io"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/fs/posixmeta"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// linkType is the content type of the objects that stand for symbolic links: s3fs gives them this one.
const linkType = "application/octet-stream"

// Symlink makes an object whose content is where the link points to, and whose metadata says that it is one. Without
// [Config.PosixMetadata] there are none.
func (f *fileSystem) Symlink(cancel <-chan struct{}, header *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if !f.cfg.PosixMetadata {
		return f.cannot(fuse.Status(syscall.ENOTSUP))
	}
	dir, status := f.changeable(header, header.NodeId, name)
	switch {
	case status != fuse.OK:
		return status
	case len(target) > maxLink:
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	target, name, owner := strings.Clone(target), strings.Clone(name), header.Owner
	return f.seeEntry(r, out, func() (*node, fuse.Status) { return f.symlink(r, dir, name, target, owner) })
}

// symlink is Symlink once the request is known to make sense. ctx ends it only before the store is asked for the
// object.
func (f *fileSystem) symlink(ctx context.Context, dir *node, name, target string, owner fuse.Owner) (*node, fuse.Status) {
	failed := func(err error, errno syscall.Errno) (*node, fuse.Status) {
		return nil, f.answer("symlink", dir.childPath(name), err, errno)
	}
	done, err := f.takeFree(ctx, dir, name)
	if err != nil {
		return failed(err, errnoOf(err))
	}
	defer done()
	item, err := f.makeLink(f.life, dir, name, target, owner)
	if err != nil {
		return failed(err, createErrno(err))
	}
	return f.nodes.enter(dir, dir.volume, item), fuse.OK
}

// makeLink stores a symbolic link.
func (f *fileSystem) makeLink(ctx context.Context, dir *node, name, target string, owner fuse.Owner) (item names.Item, err error) {
	item = names.Item{Name: name}
	if item.Key, err = dir.volume.tree.NewKey(dir.key(), name, false); err != nil {
		return item, err
	}
	attrs := objstore.Attributes{ContentType: linkType}
	upload.Describe(&attrs, posixmeta.Attributes{
		Has:  posixmeta.HasMode | posixmeta.HasUID | posixmeta.HasGID | posixmeta.HasModTime,
		Type: syscall.S_IFLNK, Mode: permissionBits, UID: owner.Uid, GID: owner.Gid, ModTime: f.cfg.Now().Unix(),
	}.Metadata())
	e, err := dir.volume.bucket.Put(ctx, item.Key, strings.NewReader(target), int64(len(target)), objstore.Condition{IfNew: true}, attrs)
	if err != nil {
		return item, err
	}
	item.Entry, item.Confirmed = e, f.cfg.Now()
	item.Entry.Size, item.Entry.ContentType, item.Entry.Metadata = int64(len(target)), attrs.ContentType, attrs.Metadata
	if item.Entry.ModTime.IsZero() {
		item.Entry.ModTime = item.Confirmed
	}
	dir.volume.tree.Learn(dir.key(), item)
	return item, nil
}

// Readlink reads where a link points to, of the version that the kernel knows.
func (f *fileSystem) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	n := f.nodes.get(header.NodeId)
	switch {
	case n == nil:
		return nil, fuse.Status(syscall.ESTALE)
	case !n.isLink():
		return nil, fuse.EINVAL
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	v := n.version()
	body, err := n.volume.bucket.Open(metadataRequest(r), v, objstore.Range{Len: v.Size})
	if err != nil {
		return nil, f.refuse("readlink", n, f.staleness(n, err))
	}
	defer body.Close()
	target, err := io.ReadAll(body)
	if err != nil {
		return nil, f.refuse("readlink", n, err)
	}
	return target, fuse.OK
}

// isLink tells whether the node is known to be a symbolic link.
func (n *node) isLink() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.link
}

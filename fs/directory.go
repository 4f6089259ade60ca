package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/fs/posixmeta"
	"github.com/headrace/headrace/objstore"
)

// Mkdir makes a directory: its marker.
func (f *fileSystem) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	parent, status := f.changeable(&in.InHeader, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	wanted := directory{mode: in.Mode, owner: in.Owner, metadata: f.markerMetadata(in)}
	name = strings.Clone(name)
	return f.seeEntry(r, out, func() (*node, fuse.Status) { return f.mkdir(r, parent, name, wanted) })
}

// directory is what a new one is to be.
type directory struct {
	mode     uint32
	owner    fuse.Owner
	metadata map[string]string
}

// mkdir is Mkdir once the request is known to make sense. ctx ends it only before the store is asked for the marker.
func (f *fileSystem) mkdir(ctx context.Context, parent *node, name string, wanted directory) (*node, fuse.Status) {
	failed := func(err error, errno syscall.Errno) (*node, fuse.Status) {
		return nil, f.answer("mkdir", parent.childPath(name), err, errno)
	}
	done, err := f.turns.take(ctx, parent.volume, nameIn(parent, name))
	if err != nil {
		return failed(err, errnoOf(err))
	}
	defer done()
	switch n, err := f.child(ctx, parent, name); {
	case err == nil:
		f.nodes.forget(n.id, 1)
		return nil, fuse.Status(syscall.EEXIST)
	case !errors.Is(err, objstore.ErrNotExist):
		return failed(err, errnoOf(err))
	}
	key, err := parent.volume.tree.NewKey(parent.key(), name, true)
	if err == nil {
		err = makeMarker(f.life, parent.volume.bucket, key, wanted.metadata)
	}
	if err != nil {
		return failed(err, createErrno(err))
	}
	item := names.Item{Name: name, Dir: true, Key: key, Confirmed: f.cfg.Now()}
	parent.volume.tree.Learn(parent.key(), item)
	n := f.nodes.enter(parent, parent.volume, item)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marked, n.modTime, n.describedSince = item.Confirmed, item.Confirmed.Unix(), item.Confirmed
	n.born(wanted.mode, wanted.owner)
	return n, fuse.OK
}

// markerMetadata is that of a new directory.
func (f *fileSystem) markerMetadata(in *fuse.MkdirIn) map[string]string {
	if !f.cfg.PosixMetadata {
		return nil
	}
	return posixmeta.Attributes{
		Has:  posixmeta.HasMode | posixmeta.HasUID | posixmeta.HasGID,
		Type: syscall.S_IFDIR, Mode: in.Mode & permissionBits, UID: in.Uid, GID: in.Gid,
	}.Metadata()
}

// Rmdir removes a directory that holds nothing but its marker.
func (f *fileSystem) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	parent, status := f.changeable(header, header.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	name = strings.Clone(name)
	return f.seeThrough(r, func() fuse.Status { return f.rmdir(r, parent, name) })
}

// rmdir is Rmdir once the request is known to make sense. ctx ends it only before the store is asked to remove the
// marker.
func (f *fileSystem) rmdir(ctx context.Context, parent *node, name string) fuse.Status {
	failed := func(err error) fuse.Status { return f.answer("rmdir", parent.childPath(name), err, errnoOf(err)) }
	done, err := f.turns.take(ctx, parent.volume, nameIn(parent, name))
	if err != nil {
		return failed(err)
	}
	defer done()
	n, err := f.child(ctx, parent, name)
	if err != nil {
		return failed(err)
	}
	defer f.nodes.forget(n.id, 1)
	if !n.dir {
		return fuse.ENOTDIR
	}
	empty, err := n.volume.tree.Empty(ctx, n.key())
	if err == nil && !empty {
		return fuse.Status(syscall.ENOTEMPTY)
	}
	if err == nil {
		err = n.volume.bucket.Delete(f.life, n.key())
	}
	if err == nil {
		f.forgetName(n)
		err = f.keepDirectory(f.life, parent)
	}
	if err != nil {
		return failed(err)
	}
	return fuse.OK
}

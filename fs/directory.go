package fs

import (
	"errors"
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
	done, err := f.turns.take(r, parent.volume, nameIn(parent, name))
	if err != nil {
		return f.answer("mkdir", parent.childPath(name), err, errnoOf(err))
	}
	defer done()
	switch n, err := f.child(r, parent, name); {
	case err == nil:
		f.nodes.forget(n.id, 1)
		return fuse.Status(syscall.EEXIST)
	case !errors.Is(err, objstore.ErrNotExist):
		return f.answer("mkdir", parent.childPath(name), err, errnoOf(err))
	}
	key, err := parent.volume.tree.NewKey(parent.key(), name, true)
	if err == nil {
		err = makeMarker(r, parent.volume.bucket, key, f.markerMetadata(in))
	}
	if err != nil {
		return f.answer("mkdir", parent.childPath(name), err, createErrno(err))
	}
	item := names.Item{Name: name, Dir: true, Key: key, Confirmed: f.cfg.Now()}
	parent.volume.tree.Learn(parent.key(), item)
	n := f.nodes.enter(parent, parent.volume, item)
	n.mu.Lock()
	n.marked, n.modTime, n.describedSince = item.Confirmed, item.Confirmed.Unix(), item.Confirmed
	n.born(in.Mode, in.Owner)
	n.mu.Unlock()
	f.fillEntry(n, f.validity(item.Confirmed), out)
	return fuse.OK
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
	done, err := f.turns.take(r, parent.volume, nameIn(parent, name))
	if err != nil {
		return f.answer("rmdir", parent.childPath(name), err, errnoOf(err))
	}
	defer done()
	n, err := f.child(r, parent, name)
	if err != nil {
		return f.answer("rmdir", parent.childPath(name), err, errnoOf(err))
	}
	defer f.nodes.forget(n.id, 1)
	if !n.dir {
		return fuse.ENOTDIR
	}
	empty, err := n.volume.tree.Empty(r, n.key())
	if err == nil && !empty {
		return fuse.Status(syscall.ENOTEMPTY)
	}
	if err == nil {
		err = n.volume.bucket.Delete(r, n.key())
	}
	if err == nil {
		f.forgetName(n)
		err = f.keepDirectory(r, parent)
	}
	if err != nil {
		return f.answer("rmdir", parent.childPath(name), err, errnoOf(err))
	}
	return fuse.OK
}

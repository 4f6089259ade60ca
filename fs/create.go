package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// Create makes a file and opens it. The store hears of it when the file is stored: a name that somebody else takes meanwhile is theirs, and found out then.
func (f *fileSystem) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	dir, status := f.changeable(&in.InHeader, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	done, err := f.turns.take(r, dir.volume, nameIn(dir, name))
	if err != nil {
		return f.answer("create", dir.childPath(name), err, errnoOf(err))
	}
	defer done()
	n, err := f.child(r, dir, name)
	switch {
	case err == nil:
		return f.openExisting(r, in, n, out)
	case !errors.Is(err, objstore.ErrNotExist):
		return f.answer("create", dir.childPath(name), err, errnoOf(err))
	}
	exclusive := in.Flags&syscall.O_EXCL != 0
	n, err = f.create(dir, name, in, exclusive)
	if err != nil {
		return f.answer("create", dir.childPath(name), err, createErrno(err))
	}
	h := &fileHandle{
		node: n, direct: f.direct(in.Flags),
		writable: true, sync: in.Flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0, exclusive: exclusive,
	}
	n.addWriter()
	mode, _, _, _ := n.beginIO(nil, true)
	if exclusive && f.cfg.ExclusiveAtOpen {
		if status := f.storeNowBy(r, "create", n, (*upload.File).Store); status != fuse.OK { // the store decides, with write-back too
			f.closeFile(h)
			f.nodes.forget(n.id, 1)
			return status
		}
	}
	f.opened(h, mode, &out.OpenOut)
	f.fillEntry(n, f.cfg.MetadataTTL, &out.EntryOut)
	return fuse.OK
}

// openExisting opens what turned out to be there.
func (f *fileSystem) openExisting(ctx context.Context, in *fuse.CreateIn, n *node, out *fuse.CreateOut) fuse.Status {
	status := fuse.Status(syscall.EEXIST)
	if in.Flags&syscall.O_EXCL == 0 {
		status = f.open(ctx, &in.InHeader, n, in.Flags, &out.OpenOut)
	}
	if status != fuse.OK {
		f.nodes.forget(n.id, 1)
		return status
	}
	f.fillEntry(n, f.validity(f.knownSince(n)), &out.EntryOut)
	return fuse.OK
}

// child finds what a name means, for a change of it, and counts a lookup.
func (f *fileSystem) child(ctx context.Context, dir *node, name string) (*node, error) {
	if n := f.nodes.known(dir, name); n != nil && n.isWritten() && f.nodes.again(n) {
		return n, nil
	}
	item, err := dir.volume.tree.Lookup(ctx, dir.key(), name)
	if err != nil {
		return nil, err
	}
	return f.nodes.enter(dir, dir.volume, item), nil
}

// create makes the node of a new file, with a lookup and an open handle counted.
func (f *fileSystem) create(dir *node, name string, in *fuse.CreateIn, exclusive bool) (*node, error) {
	key, err := dir.volume.tree.NewKey(dir.key(), name, false)
	if err != nil {
		return nil, err
	}
	item := names.Item{Name: name, Key: key, Entry: objstore.Entry{Key: key}, Confirmed: f.cfg.Now()}
	n := f.nodes.add(dir, item)
	if n == nil {
		return nil, objstore.ErrExists
	}
	n.mu.Lock()
	n.born(in.Mode, in.Owner)
	n.mu.Unlock()
	n.open(f.cfg.Files)
	if _, err := f.startWriting(n, fromNothing, exclusive); err != nil {
		f.closeNode(n)
		f.nodes.retire(n)
		f.nodes.forget(n.id, 1)
		return nil, err
	}
	return n, nil
}

// createErrno is errnoOf for a name that is to be made.
func createErrno(err error) syscall.Errno {
	if errors.Is(err, names.ErrTooLong) {
		return syscall.ENAMETOOLONG
	}
	return errnoOf(err)
}

// Mknod makes an empty file. There are no devices, pipes or sockets in a bucket.
func (f *fileSystem) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if kind := in.Mode & syscall.S_IFMT; kind != syscall.S_IFREG && kind != 0 {
		return f.cannot(fuse.EPERM)
	}
	made := fuse.CreateOut{}
	status := f.Create(cancel, &fuse.CreateIn{InHeader: in.InHeader, Flags: syscall.O_WRONLY | syscall.O_EXCL, Mode: in.Mode}, name, &made)
	if status != fuse.OK {
		return status
	}
	*out = made.EntryOut
	h, _ := f.files.remove(made.Fh)
	defer f.closeFile(h)
	r := f.begin(cancel, in.Pid)
	defer r.end()
	if status := f.storeNow(r, "mknod", h.node); status != fuse.OK {
		f.nodes.forget(h.node.id, 1)
		return status
	}
	return fuse.OK
}

// Link refuses: an object has one key.
func (f *fileSystem) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return f.cannot(fuse.EPERM)
}

// Tmpfile refuses: a file without a name has no key.
func (f *fileSystem) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return f.cannot(fuse.Status(syscall.ENOTSUP))
}

// cannot is the answer to a change that is not to be had.
func (f *fileSystem) cannot(status fuse.Status) fuse.Status {
	if f.cfg.Uploads == nil {
		return fuse.EROFS
	}
	return status
}

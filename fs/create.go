package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// Create makes a file and opens it. The store hears of it when the file is stored: a name that somebody else takes
// meanwhile is theirs, and found out then.
func (f *fileSystem) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	dir, status := f.changeable(&in.InHeader, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	exclusive := in.Flags&syscall.O_EXCL != 0
	if exclusive && f.cfg.ExclusiveAtOpen {
		return f.createStored(r, dir, in, name, out)
	}
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
	if n, err = f.create(dir, name, in, exclusive); err != nil {
		return f.answer("create", dir.childPath(name), err, createErrno(err))
	}
	f.openNew(n, in.Flags).tell(f, out)
	return fuse.OK
}

// newFile is a file that was just made, with its first handle.
type newFile struct {
	handle *fileHandle
	mode   ioMode
}

// openNew gives a node that was just made its first handle.
func (f *fileSystem) openNew(n *node, flags uint32) newFile {
	h := &fileHandle{
		node: n, direct: f.direct(flags), writable: true,
		sync: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0, exclusive: flags&syscall.O_EXCL != 0,
	}
	n.addWriter()
	mode, _, _, _ := n.beginIO(nil, true)
	return newFile{h, mode}
}

// tell has the kernel know of it.
func (n newFile) tell(f *fileSystem, out *fuse.CreateOut) {
	f.opened(n.handle, n.mode, &out.OpenOut)
	f.fillEntry(n.handle.node, f.cfg.MetadataTTL, &out.EntryOut)
}

// createStored is Create of a name that must be new, where the store is to decide that by open, with write-back too.
func (f *fileSystem) createStored(r *request, dir *node, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	made, name := *in, strings.Clone(name)
	return seeMade(f, r, func() (newFile, fuse.Status) {
		return f.makeStored(r, "create", dir, &made, name, (*upload.File).Store)
	}, func(n newFile) { n.tell(f, out) }, func(n newFile) {
		f.closeFile(n.handle)
		f.nodes.forget(n.handle.node.id, 1)
	})
}

// takeFree takes the turn of a name at which there must be nothing: else the error is [objstore.ErrExists]. done gives
// it back.
func (f *fileSystem) takeFree(ctx context.Context, dir *node, name string) (done func(), err error) {
	if done, err = f.turns.take(ctx, dir.volume, nameIn(dir, name)); err != nil {
		return nil, err
	}
	n, err := f.child(ctx, dir, name)
	if errors.Is(err, objstore.ErrNotExist) {
		return done, nil
	}
	if err == nil {
		f.nodes.forget(n.id, 1)
		err = objstore.ErrExists
	}
	done()
	return nil, err
}

// makeStored makes an empty file, and has it be stored by a method of its upload. Where that does not come to be
// nothing of it stays here, nor is it tried again: nobody has it. ctx ends it only before the store is asked for the
// object.
func (f *fileSystem) makeStored(
	ctx context.Context, what string, dir *node, in *fuse.CreateIn, name string, store func(*upload.File, context.Context) (objstore.Entry, error),
) (made newFile, status fuse.Status) {
	failed := func(err error, errno syscall.Errno) (newFile, fuse.Status) {
		return newFile{}, f.answer(what, dir.childPath(name), err, errno)
	}
	done, err := f.takeFree(ctx, dir, name)
	if err != nil {
		return failed(err, errnoOf(err))
	}
	defer done()
	n, err := f.create(dir, name, in, true)
	if err != nil {
		return failed(err, createErrno(err))
	}
	made = f.openNew(n, in.Flags|syscall.O_EXCL)
	u := n.writing()
	target := u.Target()
	if status := f.storeNowBy(f.life, what, n, store); status != fuse.OK {
		ended, cancel := context.WithCancel(f.life)
		cancel() // an attempt under way was waited for long enough
		if f.detach(ended, n) {
			u.RemoveLate(target)
		}
		dir.volume.tree.Forget(dir.key(), name) // it may have come to be
		f.closeFile(made.handle)
		f.nodes.forget(n.id, 1)
		return newFile{}, status
	}
	return made, fuse.OK
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
	dir, status := f.changeable(&in.InHeader, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	wanted, name := fuse.CreateIn{InHeader: in.InHeader, Flags: syscall.O_WRONLY | syscall.O_EXCL, Mode: in.Mode}, strings.Clone(name)
	store := (*upload.File).Publish
	if f.cfg.ExclusiveAtOpen {
		store = (*upload.File).Store
	}
	return f.seeEntry(r, out, func() (*node, fuse.Status) {
		made, status := f.makeStored(r, "mknod", dir, &wanted, name, store)
		if status != fuse.OK {
			return nil, status
		}
		f.closeFile(made.handle)
		return made.handle.node, fuse.OK
	})
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

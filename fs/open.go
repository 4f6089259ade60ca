package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/prefetch"
)

// fileHandle is one open file.
type fileHandle struct {
	node *node
	file *prefetch.File // shared by all handles of the node

	direct bool // the kernel keeps no pages of what is read

	// Of fcntl locks, by the kernel's opaque number, those taken by way of this handle. Guarded by the table of locks.
	lockOwners []uint64
}

// Open opens one version of a file, after making sure that its name still means it. ESTALE when it does not: the kernel looks
// the name up again and opens what it means now, and the caller of open(2) sees nothing of it.
func (f *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	switch {
	case n == nil:
		return fuse.Status(syscall.ESTALE)
	case n.dir:
		return fuse.EISDIR
	case in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY, in.Flags&syscall.O_TRUNC != 0:
		return fuse.EROFS
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	file := n.open(f.cfg.Files)
	h := &fileHandle{node: n, file: file, direct: in.Flags&syscall.O_DIRECT != 0 || f.cfg.ReadMode == ReadDirect}
	var local *backing
	if !n.passesThrough() { // else there is one already
		local = f.passthrough.back(n.version())
	}
	if err := f.checkOpen(r, h, in.Flags&syscall.O_DIRECT != 0, local != nil); err != nil {
		f.passthrough.end(local)
		n.close()
		return f.refuse("open", n, err)
	}
	mode, id, spare, fresh := n.beginIO(local, f.secondTries.expected(n.at(), f.cfg.Now()))
	f.passthrough.end(spare)
	if fresh {
		n.close()
		return f.another(n)
	}
	f.counters.opens.Add(1)
	out.Fh = f.files.add(h)
	out.OpenFlags = h.flags(mode)
	if mode == ioPassthrough {
		out.BackingID = id
		f.counters.passthrough.Add(1)
	}
	return fuse.OK
}

// flags tell the kernel how to read.
func (h *fileHandle) flags(mode ioMode) uint32 {
	const always = fuse.FOPEN_NOFLUSH // see Flush
	switch {
	case mode == ioPassthrough:
		return always | fuse.FOPEN_PASSTHROUGH
	case h.direct:
		return always | fuse.FOPEN_DIRECT_IO
	}
	return always | fuse.FOPEN_KEEP_CACHE // a node is one version, so whatever pages the kernel has of it are right
}

// another has the kernel open the file by another node: it looks the name up again, finds a new one, and the caller of open(2) sees
// nothing of it.
func (f *fileSystem) another(n *node) fuse.Status {
	f.nodes.retire(n)
	f.secondTries.expect(n.at(), f.cfg.Now())
	return fuse.Status(syscall.ESTALE)
}

// checkOpen starts bringing what will surely be read and makes sure that the version is the current one. What was
// confirmed within the TTL needs no asking. Beyond that, the GET of a small object is the answer as well, since it asks
// for this version and no other; only where nothing had to be fetched, or the object is large, it takes a HEAD. O_DIRECT
// always asks, but for a second try after ESTALE. What is local is not brought.
func (f *fileSystem) checkOpen(ctx context.Context, h *fileHandle, strict, local bool) (err error) {
	n := h.node
	asked := f.cfg.Now()
	due := !f.fresh(n.confirmedAt()) && !f.believes(n)
	confirmed := false
	if !local && !n.passesThrough() {
		confirmed, err = h.file.Preload(ctx)
	}
	switch {
	case err != nil:
		return f.staleness(n, err)
	case confirmed:
		n.confirm(asked)
		return nil
	case strict && !f.believes(n):
		return f.ask(ctx, n)
	case due:
		return f.check(ctx, n)
	}
	return nil
}

// Flush answers each close(2) of a file where the kernel is older than 5.16, which cannot be told that there is nothing to
// write: a request less for each file. fcntl locks of the closing process go, as POSIX has it; where Flush does not come,
// they go with the handle that they were taken by.
func (f *fileSystem) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	if n := f.nodes.get(in.NodeId); n != nil {
		f.locks.release(n.lockPath(), false, in.LockOwner)
	}
	return fuse.OK
}

// Fsync has nothing to do.
func (f *fileSystem) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

// Release closes a handle, once its last descriptor, map and read are gone.
func (f *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	h, ok := f.files.remove(in.Fh)
	if !ok {
		return
	}
	if in.ReleaseFlags&releaseFlockUnlock != 0 {
		f.locks.release(h.node.lockPath(), true, in.LockOwner)
	}
	f.locks.releaseHandle(h)
	f.closeFile(h.node)
}

// closeFile ends what Open began.
func (f *fileSystem) closeFile(n *node) {
	f.passthrough.end(n.endIO())
	n.close()
}

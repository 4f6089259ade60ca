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
	strict := in.Flags&syscall.O_DIRECT != 0
	direct := strict || f.cfg.ReadMode == ReadDirect
	if err := f.checkOpen(r, n, file, strict); err != nil {
		n.close()
		return f.refuse("open", n, err)
	}
	f.counters.opens.Add(1)
	out.Fh = f.files.add(&fileHandle{node: n, file: file, direct: direct})
	// A node is one version, so whatever pages the kernel has of it are right.
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	if direct {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO
	}
	out.OpenFlags |= fuse.FOPEN_NOFLUSH // see Flush
	return fuse.OK
}

// checkOpen starts bringing what will surely be read and makes sure that the version is the current one. What was
// confirmed within the TTL needs no asking. Beyond that, the GET of a small object is the answer as well, since it asks
// for this version and no other; only where nothing had to be fetched, or the object is large, it takes a HEAD. O_DIRECT
// always asks, but for a second try after ESTALE.
func (f *fileSystem) checkOpen(ctx context.Context, n *node, file *prefetch.File, strict bool) error {
	asked := f.cfg.Now()
	due := !f.fresh(n.confirmedAt()) && !f.believes(n)
	confirmed, err := file.Preload(ctx)
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
	h.node.close()
}

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

	direct    bool // the kernel keeps no pages of what is read
	writable  bool
	sync      bool // O_SYNC or O_DSYNC: each write is stored before it is answered
	exclusive bool // the name was made by this handle, with O_EXCL
	writers   writers

	// Of fcntl locks, by the kernel's opaque number, those taken by way of this handle. Guarded by the table of locks.
	lockOwners []uint64
}

// Open opens one version of a file, after making sure that its name still means it. ESTALE when it does not: the kernel
// looks the name up again and opens what it means now, and the caller of open(2) sees nothing of it.
func (f *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	return f.open(r, &in.InHeader, n, in.Flags, out)
}

// open makes a handle of a node.
func (f *fileSystem) open(ctx context.Context, caller *fuse.InHeader, n *node, flags uint32, out *fuse.OpenOut) fuse.Status {
	writes := flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0
	switch {
	case n.dir:
		return fuse.EISDIR
	case n.isLink(): // a lookup would have followed it
		return fuse.Status(syscall.ELOOP)
	case writes && f.cfg.Uploads == nil:
		return fuse.EROFS
	case writes && !f.mayChange(caller, n):
		return fuse.EACCES
	}
	h := &fileHandle{
		node: n, direct: f.direct(flags),
		writable: writes, sync: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0,
	}
	if writes {
		return f.openToWrite(ctx, h, flags, out)
	}
	return f.openToRead(ctx, h, flags, out)
}

func (f *fileSystem) openToRead(ctx context.Context, h *fileHandle, flags uint32, out *fuse.OpenOut) fuse.Status {
	n := h.node
	if n.isLost() { // the kernel still has the name, and perhaps a handle that is about to be released: what they have is not what the name means
		return f.another(n)
	}
	file := n.open(f.cfg.Files)
	written := n.isWritten()
	var local *backing
	if !written && !n.passesThrough() { // else there is one already
		local = f.passthrough.back(n.version())
	}
	if !written {
		if err := f.checkOpen(ctx, n, file, flags&syscall.O_DIRECT != 0, local != nil); err != nil {
			f.passthrough.end(local)
			f.closeNode(n)
			return f.refuse("open", n, err)
		}
	}
	mode, id, spare, fresh := n.beginIO(local, f.secondTries.expected(n.at(), f.cfg.Now()))
	f.passthrough.end(spare)
	if fresh {
		f.closeNode(n)
		return f.another(n)
	}
	f.opened(h, mode, out)
	if mode == ioPassthrough {
		out.BackingID = id
		f.counters.passthrough.Add(1)
	}
	return fuse.OK
}

// openToWrite has what the handle's node stands for become something that is written. What the kernel reads without
// this process cannot; and it can only be what its name means, or there would be two that are to be stored under one
// key.
func (f *fileSystem) openToWrite(ctx context.Context, h *fileHandle, flags uint32, out *fuse.OpenOut) fuse.Status {
	n := h.node
	if n.passesThrough() || !f.nodes.current(n) {
		return f.another(n)
	}
	n.open(f.cfg.Files)
	if !n.isWritten() && !f.fresh(n.confirmedAt()) && !f.believes(n) {
		if err := f.check(ctx, n); err != nil {
			f.closeNode(n)
			return f.refuse("open", n, err)
		}
	}
	if err := f.describe(ctx, n, f.cfg.Now()); err != nil { // what it has is stored again with it
		f.closeNode(n)
		return f.refuse("open", n, err)
	}
	from := fromVersion
	if flags&syscall.O_TRUNC != 0 {
		from = fromNothing
	}
	u, err := f.startWriting(n, from, false)
	if err == nil && from == fromNothing && u.Size() > 0 {
		err = u.Truncate(ctx, 0)
	}
	if err != nil {
		f.closeNode(n)
		return f.refuse("open", n, err)
	}
	n.addWriter()
	mode, _, _, _ := n.beginIO(nil, true)
	f.opened(h, mode, out)
	return fuse.OK
}

// addWriter counts a handle that may write; closeFile ends that.
func (n *node) addWriter() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writers++
}

// opened registers a handle.
func (f *fileSystem) opened(h *fileHandle, mode ioMode, out *fuse.OpenOut) {
	f.counters.opens.Add(1)
	out.Fh = f.files.add(h)
	out.OpenFlags = h.flags(mode)
}

// direct tells whether the kernel keeps no pages of what is read or written by a handle.
func (f *fileSystem) direct(flags uint32) bool {
	return flags&syscall.O_DIRECT != 0 || f.cfg.ReadMode == ReadDirect
}

// flags tell the kernel how to read.
func (h *fileHandle) flags(mode ioMode) uint32 {
	var always uint32
	if !h.writable {
		always = fuse.FOPEN_NOFLUSH // see Flush
	}
	switch {
	case mode == ioPassthrough:
		return always | fuse.FOPEN_PASSTHROUGH
	case h.direct:
		return always | fuse.FOPEN_DIRECT_IO
	}
	return always | fuse.FOPEN_KEEP_CACHE // a node is one version, so whatever pages the kernel has of it are right
}

// another has the kernel open the file by another node: it looks the name up again, finds a new one, and the caller of
// open(2) sees nothing of it.
func (f *fileSystem) another(n *node) fuse.Status {
	f.nodes.retire(n)
	f.secondTries.expect(n.at(), f.cfg.Now())
	return fuse.Status(syscall.ESTALE)
}

// checkOpen starts bringing what will surely be read and makes sure that the version is the current one. What was
// confirmed within the TTL needs no asking. Beyond that, the GET of a small object is the answer as well, since it asks
// for this version and no other; only where nothing had to be fetched, a copy may have answered, or the object is
// large, it takes a HEAD. O_DIRECT always asks, but for a second try after ESTALE. What is local is not brought.
func (f *fileSystem) checkOpen(ctx context.Context, n *node, file *prefetch.File, strict, local bool) (err error) {
	asked := f.cfg.Now()
	due := !f.fresh(n.confirmedAt()) && !f.believes(n)
	confirmed := false
	if !local && !n.passesThrough() {
		if due && !strict {
			ahead, err := f.foreseen(ctx, n)
			if err != nil {
				return f.staleness(n, err)
			}
			due = !ahead
		}
		if confirmed, err = file.Preload(ctx); err != nil {
			f.siblingLost(n)
		} else {
			f.siblingOpened(n, confirmed)
		}
		confirmed = confirmed && !n.readFromCopy(asked)
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

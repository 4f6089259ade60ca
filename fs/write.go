package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/upload"
)

// writeCache, in WRITE's flags, says that the bytes come from the kernel's pages, and who wrote them is not known:
// FUSE_WRITE_CACHE of the kernel's fuse.h.
const writeCache = 1 << 0

// Write puts bytes into the staging file. The kernel has worked out where O_APPEND goes.
func (f *fileSystem) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h, ok := f.files.get(in.Fh)
	if !ok {
		return 0, fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	thread := in.Pid
	if in.WriteFlags&writeCache != 0 {
		thread = 0
	}
	status := f.change(r, "write", h, thread, func(u *upload.File) error { return u.WriteAt(r, data, int64(in.Offset)) })
	if status != fuse.OK {
		return 0, status
	}
	f.counters.writes.Add(1)
	f.counters.writeBytes.Add(int64(len(data)))
	if h.sync {
		if status := f.storeNow(r, "write", h.node); status != fuse.OK {
			return 0, status
		}
	}
	return uint32(len(data)), fuse.OK
}

// Fallocate makes room, or holes.
func (f *fileSystem) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	h, ok := f.files.get(in.Fh)
	if !ok {
		return fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	return f.change(r, "fallocate", h, in.Pid, func(u *upload.File) error {
		return u.Allocate(r, int64(in.Offset), int64(in.Length), in.Mode)
	})
}

// change changes what a handle writes to, and notes who did. The cut is read afterwards: what went into an earlier
// publication may be taken for a part of the next, and never the other way round.
func (f *fileSystem) change(_ context.Context, what string, h *fileHandle, thread uint32, do func(*upload.File) error) fuse.Status {
	n := h.node
	u := n.writing()
	if u == nil || !h.writable {
		return fuse.EBADF
	}
	if err := do(u); err != nil {
		return f.answer(what, n.path(), err, errnoOf(err))
	}
	n.mu.Lock()
	n.given.touched()
	cut := n.cut
	n.mu.Unlock()
	h.writers.note(thread, cut)
	return fuse.OK
}

package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// Flush comes for each close(2) of each duplicate of a descriptor that may write, and on kernels older than 5.16 of
// all. It stores what was written, if the process that closes has written some of it by way of this handle: then
// nothing more is to come from it. Else somebody else will close the handle, or RELEASE will come. A name that was made
// with O_EXCL is stored though it is empty: it is a lock, mostly. Other empty ones wait: in `echo x > f` the shell
// closes before echo writes.
//
// fcntl locks of the closing process go, as POSIX has it; where Flush does not come, they go with the handle that they
// were taken by.
func (f *fileSystem) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.OK
	}
	f.locks.release(n, false, in.LockOwner)
	h, ok := f.files.get(in.Fh)
	if !ok || !h.writable {
		return fuse.OK
	}
	_, stored := n.cuts()
	if !h.writers.unstored(in.Pid, stored) && !(h.exclusive && stored == 0 && !h.writers.wrote()) {
		return fuse.OK
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	return f.storeNow(r, "close", n)
}

// Fsync stores what was written, by whomever.
func (f *fileSystem) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	return f.storeNow(r, "fsync", n)
}

// storeNow publishes a node's upload where there is something to be published, and waits for it.
func (f *fileSystem) storeNow(ctx context.Context, what string, n *node) fuse.Status {
	return f.storeNowBy(ctx, what, n, (*upload.File).Publish)
}

// storeNowBy is storeNow by one of the upload's methods.
func (f *fileSystem) storeNowBy(
	ctx context.Context, what string, n *node, publish func(*upload.File, context.Context) (objstore.Entry, error),
) fuse.Status {
	n.mu.Lock()
	u, removed := n.upload, n.removed
	n.mu.Unlock()
	if u == nil || removed || !u.Changed() {
		return fuse.OK
	}
	if err := f.publishBy(ctx, n, func(ctx context.Context) (objstore.Entry, error) { return publish(u, ctx) }); err != nil {
		return f.answer(what, n.path(), err, errnoOf(err))
	}
	return fuse.OK
}

// cuts are a node's publications: the one that what is written now will be in, and the last that is stored.
func (n *node) cuts() (next, stored uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut, n.kept
}

// Release closes a handle, once its last descriptor, map and read are gone. What its writers have left is stored now,
// with nobody waiting for it: what a killed process had written, and what came by a shared mapping after close(2).
func (f *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	h, ok := f.files.remove(in.Fh)
	if !ok {
		return
	}
	if in.ReleaseFlags&releaseFlockUnlock != 0 {
		f.locks.release(h.node, true, in.LockOwner)
	}
	f.locks.releaseHandle(h)
	f.closeFile(h)
}

// closeFile ends what open began.
func (f *fileSystem) closeFile(h *fileHandle) {
	n := h.node
	f.passthrough.end(n.endIO())
	if h.writable {
		n.mu.Lock()
		n.writers--
		n.mu.Unlock()
		f.publishLast(n, &h.writers)
	}
	f.closeNode(n)
}

// publishLast has what was written be stored, with nobody waiting for it, if nobody who may write is left but the
// caller, or writers have written since the last publication. Who reads on does not count: it may go on for ever.
// writers may be nil.
func (f *fileSystem) publishLast(n *node, w *writers) {
	n.mu.Lock()
	u, last, stored := n.upload, n.writers == 0, n.kept
	due := u != nil && !n.removed && !n.lost && u.Changed()
	n.mu.Unlock()
	if due && (last || w != nil && w.any(stored)) {
		f.publishLater(n, u)
	}
}

// closeNode ends a handle's use of its node.
func (f *fileSystem) closeNode(n *node) {
	n.close()
	f.settle(n)
}

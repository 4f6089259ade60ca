package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
)

// Read answers with bytes of the version that was opened. They stay where they are, pinned, until the kernel has copied
// them. The buffer that the protocol library offers for them, one of the request's size for each READ, is not touched:
// it is address space and takes no memory, but the collector counts it as live.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h, ok := f.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	result, err := f.readAs(r, h, in, buf)
	if err != nil {
		err = f.staleness(h.node, err)
		return nil, f.answer("read", h.node.path(), err, errnoOf(err))
	}
	return result, fuse.OK
}

// readAs reads what a handle's node is. Where that is gone because the file was given another name, or its object other
// metadata, it is read by what it is then: the object may have its new name before the node has.
func (f *fileSystem) readAs(ctx context.Context, h *fileHandle, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, error) {
	for v := h.node.version(); ; {
		result, err := f.readOnce(ctx, h, in, buf)
		if err == nil || readErrno(err) != syscall.ESTALE {
			return result, err
		}
		waited, failure := f.turns.settled(ctx, h.node)
		if failure != nil {
			return nil, failure
		}
		now := h.node.version()
		if now == v && !waited {
			return nil, err
		}
		v = now
	}
}

func (f *fileSystem) readOnce(ctx context.Context, h *fileHandle, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, error) {
	file, u := h.node.source(f.cfg.Files)
	off := int64(in.Offset)
	if u != nil {
		return f.readWritten(ctx, u, buf[:in.Size], off)
	}
	data, release, err := file.Read(ctx, off, int(in.Size))
	if err != nil {
		return nil, err
	}
	size := 0
	for _, d := range data {
		size += len(d)
	}
	if size == 0 { // the library does not tell when an empty reply has been written
		release()
		return fuse.ReadResultData(nil), nil
	}
	f.counters.reads.Add(1)
	f.counters.readBytes.Add(int64(size))
	p := &pinned{data: data, size: size, release: release}
	if !h.direct {
		p.release = func() {
			release()
			file.HandedOver(off, size)
		}
	}
	return p, nil
}

// source is what a node with a handle is read from: the upload once it holds anything that the store does not, else the
// version.
func (n *node) source(files *prefetch.Prefetcher) (*prefetch.File, *upload.File) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.upload != nil && (n.removed || n.etag == "" || n.upload.Changed()) {
		return nil, n.upload
	}
	return n.readsLocked(files), nil
}

// readWritten answers with what this mount has written, and what it has not written over.
func (f *fileSystem) readWritten(ctx context.Context, u *upload.File, buf []byte, off int64) (fuse.ReadResult, error) {
	size, err := u.ReadAt(ctx, buf, off)
	if err != nil {
		return nil, err
	}
	f.counters.reads.Add(1)
	f.counters.readBytes.Add(int64(size))
	return fuse.ReadResultData(buf[:size]), nil
}

// pinned is a reply to READ whose bytes belong to the cache. It has the protocol library's methods for results that are
// written with one writev.
type pinned struct {
	data    [][]byte
	size    int
	release func()
}

// Slices are the bytes in order.
func (p *pinned) Slices() ([][]byte, fuse.Status) { return p.data, fuse.OK }

// Size is how many bytes there are.
func (p *pinned) Size() int { return p.size }

// Bytes copies, for a server that cannot write slices.
func (p *pinned) Bytes(buf []byte) ([]byte, fuse.Status) {
	buf = buf[:0]
	for _, d := range p.data {
		buf = append(buf, d...)
	}
	return buf, fuse.OK
}

// Done is called once the reply has been written.
func (p *pinned) Done() { p.release() }

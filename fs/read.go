package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
)

// Read answers with bytes of the version that was opened. They stay where they are, pinned, until the kernel has copied
// them. The buffer that the protocol library offers for them, one of the request's size for each READ, is not touched: it
// is address space and takes no memory, but the collector counts it as live.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h, ok := f.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	file, u := h.node.source(f.cfg.Files)
	if u != nil {
		return f.readWritten(r, h.node, u, buf[:in.Size], int64(in.Offset))
	}
	off := int64(in.Offset)
	data, release, err := file.Read(r, off, int(in.Size))
	if err != nil {
		err = f.staleness(h.node, err)
		return nil, f.answer("read", h.node.path(), err, errnoOf(err))
	}
	size := 0
	for _, d := range data {
		size += len(d)
	}
	if size == 0 { // the library does not tell when an empty reply has been written
		release()
		return fuse.ReadResultData(nil), fuse.OK
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
	return p, fuse.OK
}

// source is what a node with a handle is read from: the upload once it holds anything that the store does not, else the version.
func (n *node) source(files *prefetch.Prefetcher) (*prefetch.File, *upload.File) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.upload != nil && (n.removed || n.etag == "" || n.upload.Changed()) {
		return nil, n.upload
	}
	return n.readsLocked(files), nil
}

// readWritten answers with what this mount has written, and what it has not written over.
func (f *fileSystem) readWritten(ctx context.Context, n *node, u *upload.File, buf []byte, off int64) (fuse.ReadResult, fuse.Status) {
	size, err := u.ReadAt(ctx, buf, off)
	if err != nil {
		err = f.staleness(n, err)
		return nil, f.answer("read", n.path(), err, errnoOf(err))
	}
	f.counters.reads.Add(1)
	f.counters.readBytes.Add(int64(size))
	return fuse.ReadResultData(buf[:size]), fuse.OK
}

// pinned is a reply to READ whose bytes belong to the cache. It has the protocol library's methods for results that are written with
// one writev.
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

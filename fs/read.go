package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// Read answers with bytes of the version that was opened. They stay where they are, pinned, until the kernel has copied
// them. The buffer that the protocol library offers for them, one of the request's size for each READ, is not touched: it
// is address space and takes no memory, but the collector counts it as live.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	h, ok := f.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	off := int64(in.Offset)
	data, release, err := h.file.Read(r, off, int(in.Size))
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
			h.file.HandedOver(off, size)
		}
	}
	return p, fuse.OK
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

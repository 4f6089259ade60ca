package fs

import (
	"os"
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Read answers with bytes of the version that was opened. They stay where they are, pinned, until the kernel has copied
// them; scratch, which the protocol library offers for them, is not used.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, scratch []byte) (fuse.ReadResult, fuse.Status) {
	giveBack(scratch)
	h, ok := f.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	data, release, err := h.file.Read(r, int64(in.Offset), int(in.Size))
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
	return &pinned{data: data, size: size, release: release}, fuse.OK
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

// giveBack returns a buffer's pages to the system. The protocol library allocates one of the request's size for each READ, before anybody
// here can say that it is not needed, and keeps it while the request waits: 256 waiting readers have 256 MiB of
// them. They cost only address space as long as they hold no pages, and a fresh one holds none, but one that Go's heap had used before
// was cleared and so holds all. On one without pages the call takes 0.3 µs.
func giveBack(buf []byte) {
	page := uintptr(os.Getpagesize())
	if uintptr(len(buf)) < 2*page {
		return
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(buf)))
	skip := (page - start%page) % page
	whole := (uintptr(len(buf)) - skip) / page * page
	// Bytes of a buffer nobody has written to yet: that they are zero afterwards harms nobody. A failure costs memory and
	// nothing else.
	_ = unix.Madvise(buf[skip:skip+whole], syscall.MADV_DONTNEED)
}

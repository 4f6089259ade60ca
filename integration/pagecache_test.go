package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A descriptor opened with O_DIRECT reads past the kernel's page cache, and its open asks the store for the current
// version.
func TestDirectDescriptor(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, chunk+5)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--metadata-ttl", "10m")
	got, err := sums(t, "direct", m.path("object"))
	if err != nil || len(got) != 1 || got[0] != o.sha256() {
		t.Fatalf("got %v, %v", got, err)
	}
	if resident := residentPages(t, m.path("object")); resident != 0 {
		t.Errorf("%d pages are in the kernel's page cache", resident)
	}
	p.take(t)
	// All is known and cached now, and yet the open must ask; a plain open need not.
	m.open("object")
	if requests := p.take(t); len(requests) > 0 {
		t.Errorf("a plain open within the TTL cost %q", requests)
	}
	f, err := os.OpenFile(m.path("object"), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if requests := p.take(t); len(requests) == 0 {
		t.Error("an open with O_DIRECT asked the store nothing")
	}
}

// residentPages counts the pages of a file that are in the kernel's page cache. The file is mapped for that, but no
// page of it is touched.
func residentPages(t *testing.T, path string) int {
	t.Helper()
	f := must[*os.File](t)(os.Open(path))
	defer f.Close()
	size := must[os.FileInfo](t)(f.Stat()).Size()
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(fmt.Errorf("mmap: %w", err))
	}
	defer unix.Munmap(mapped)
	pages := make([]byte, (len(mapped)+os.Getpagesize()-1)/os.Getpagesize())
	_, _, errno := syscall.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(fmt.Errorf("mincore: %w", errno))
	}
	resident := 0
	for _, page := range pages {
		resident += int(page & 1)
	}
	return resident
}

// Who reads the end of a file while another process appends to it sees what was written, and nothing that was not.
func TestReadersOfWhatGrows(t *testing.T) {
	t.Parallel()
	m := mountBucket(t, newBucket(t))
	const line, lines, readers = 100, 4000, 3
	w := must[*os.File](t)(os.OpenFile(m.path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644))
	defer w.Close()
	var written atomic.Int64
	var all sync.WaitGroup
	for range readers {
		r := must[*os.File](t)(os.Open(m.path("log")))
		defer r.Close()
		all.Go(func() {
			p := make([]byte, 8192)
			for size := int64(0); size < line*lines; {
				size = written.Load()
				off := max(size-4096, 0)
				n, err := r.ReadAt(p, off)
				if err != nil && err != io.EOF || off+int64(n) < size {
					t.Errorf("%d bytes at %d of %d, %v", n, off, size, err)
					return
				}
				if i := bytes.IndexFunc(p[:n], func(r rune) bool { return r != 'x' }); i >= 0 {
					t.Errorf("at %d of %d is %q", off+int64(i), size, p[i])
					return
				}
			}
		})
	}
	for range lines {
		written.Add(int64(must[int](t)(w.Write(bytes.Repeat([]byte("x"), line)))))
	}
	all.Wait()
}

// A small file that was just stored is read back without a GET, on a mount without a disk cache too.
func TestReadBackFromMemory(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	const size = 64 << 10
	content := string(noise(size, 7))
	m.write(content, "file")
	b.want("file", content)
	const used = "headrace_cache_memory_used_bytes"
	eventually(t, patience, "memory to take the file over, just after close", func() bool { return m.counters(used)[used] >= size })
	p.take(t)
	if m.read("file") != content {
		t.Error("something else is read back")
	}
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("reading it back asked the store for %q", got)
	}
}

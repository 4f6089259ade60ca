package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A descriptor opened with O_DIRECT reads past the kernel's page cache, and its open asks the store for the current version.
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

// residentPages counts the pages of a file that are in the kernel's page cache. The file is mapped for that, but no page of
// it is touched.
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

// What a descriptor only writes leaves no pages of its own in the kernel, and others that have pages of the file, mapped ones too, see it at once.
//
// A small file
// that was just stored is read back without a GET, on a mount without a disk cache too.
func TestWriteOnlyDescriptor(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	const size = 64 << 10
	content := noise(size, 7)
	f := must[*os.File](t)(os.OpenFile(m.path("file"), os.O_WRONLY|os.O_CREATE, 0o644))
	defer f.Close()
	must[int](t)(f.Write(content))
	if resident := residentPages(t, m.path("file")); resident != 0 {
		t.Errorf("%d pages are in the kernel's page cache", resident)
	}
	other := must[*os.File](t)(os.OpenFile(m.path("file"), os.O_RDWR, 0))
	defer other.Close()
	mapped := must[[]byte](t)(unix.Mmap(int(other.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	defer unix.Munmap(mapped)
	if !bytes.Equal(mapped, content) {
		t.Error("what was written is not what is mapped")
	}
	copy(mapped[100:], "by the mapping")
	must[int](t)(f.WriteAt([]byte("by the descriptor"), 200)) // in the same page, which is dirty
	must[int](t)(f.WriteAt([]byte("the end"), size))
	copy(content[100:], "by the mapping")
	copy(content[200:], "by the descriptor")
	if !bytes.Equal(mapped, content) {
		t.Error("what is mapped has not followed")
	}
	content = append(content, "the end"...)
	got := make([]byte, len(content))
	if n, err := other.ReadAt(got, 0); n != len(got) || err != nil && err != io.EOF || !bytes.Equal(got, content) {
		t.Errorf("another descriptor reads %d bytes, %v", n, err)
	}
	if err := errors.Join(unix.Munmap(mapped), other.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	b.want("file", string(content))
	const used = "headrace_cache_memory_used_bytes"
	eventually(t, patience, "memory to take the file over, just after close", func() bool { return m.counters(used)[used] >= size })
	p.take(t)
	if m.read("file") != string(content) {
		t.Error("something else is read back")
	}
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("reading it back asked the store for %q", got)
	}
}

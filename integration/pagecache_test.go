package integration

import (
	"fmt"
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

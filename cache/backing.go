package cache

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of the huge pages the arena reckons with, two blocks. Kernels with base pages above 4 KiB have larger ones,
// which are left alone.
const hugePage = 2 * blockSize

// backing is the address space the arena gives out, and what it asks of the kernel.
type backing struct {
	mem      []byte                         // whole slots, aligned to the size of one
	decommit func(b []byte) error           // gives the pages of b back
	advise   func(b []byte, huge bool) bool // has b, which has no pages, use huge pages or not; false when that is not to be had
	close    func() error
}

// mapped reserves size bytes of anonymous memory outside the Go heap, aligned to a chunk. Pages cost nothing until they are
// touched, so the reservation may be many times the limit.
func mapped(size int) (backing, error) {
	all, err := unix.Mmap(-1, 0, size+chunkSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return backing{}, fmt.Errorf("cache: reserving %d MiB of address space: %w", size>>20, err)
	}
	// Where nobody asked for it, a huge page would commit more than the ledger counts. Kernels without them refuse, which is as good.
	_ = unix.Madvise(all, unix.MADV_NOHUGEPAGE)
	size2M, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
	usable := string(bytes.TrimSpace(size2M)) == fmt.Sprint(hugePage)
	start := int(-uintptr(unsafe.Pointer(unsafe.SliceData(all))) % chunkSize)
	return backing{
		mem:      all[start : start+size : start+size],
		decommit: func(b []byte) error { return unix.Madvise(b, unix.MADV_DONTNEED) },
		advise: func(b []byte, huge bool) bool {
			if !huge {
				return unix.Madvise(b, unix.MADV_NOHUGEPAGE) == nil
			}
			return usable && unix.Madvise(b, unix.MADV_HUGEPAGE) == nil
		},
		close: func() error { return unix.Munmap(all) },
	}, nil
}

package cache

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// backing is the address space the arena gives out, and the way to give pages of it back to the kernel.
type backing struct {
	mem      []byte // whole slots
	decommit func([]byte) error
	close    func() error
}

// mapped reserves size bytes of anonymous memory outside the Go heap. Pages cost nothing until they are touched, so the
// reservation may be many times the limit.
func mapped(size int) (backing, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return backing{}, fmt.Errorf("cache: reserving %d MiB of address space: %w", size>>20, err)
	}
	// A transparent huge page would commit 2 MiB where the ledger counts one block. Kernels without them refuse; that is
	// as good.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	return backing{
		mem:      mem,
		decommit: func(b []byte) error { return unix.Madvise(b, unix.MADV_DONTNEED) },
		close:    func() error { return unix.Munmap(mem) },
	}, nil
}

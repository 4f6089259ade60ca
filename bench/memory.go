package bench

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// claimStep is how much is claimed between two looks at the context.
const claimStep = 128 * mib

// claimMemory touches n bytes of memory, but no more than half of what is free, and gives them back. A virtual machine lends the
// memory that it does not use to its host, and a page that has to be fetched back costs 0.1 to 0.5 s of CPU a GiB more than
// another. That would be booked on whoever comes first after a pause, and on the side that uses more memory.
func claimMemory(ctx context.Context, n int64) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("bench: sysinfo: %w", err)
	}
	n = min(n, int64(info.Freeram)*int64(info.Unit)/2)
	if n <= 0 {
		return nil
	}
	mem, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("bench: mmap: %w", err)
	}
	for rest := mem; len(rest) > 0 && err == nil; {
		step := min(len(rest), claimStep)
		if err = ctx.Err(); err == nil {
			err = unix.Madvise(rest[:step], unix.MADV_POPULATE_WRITE)
		}
		rest = rest[step:]
	}
	if closeErr := unix.Munmap(mem); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("bench: claim memory: %w", err)
	}
	return nil
}

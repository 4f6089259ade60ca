package bench

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// claimStep is how much is claimed between two looks at the context.
const claimStep = 128 * mib

// claimMemory touches n bytes of memory, but no more than half of what is free, and gives them back. A virtual machine
// lends the memory that it does not use to its host, and a page that has to be fetched back costs 0.1 to 0.5 s of CPU a
// GiB more than another. That would be booked on whoever comes first after a pause, and on the side that uses more
// memory.
func claimMemory(ctx context.Context, n int64) error {
	free, err := freeMemory()
	if err != nil {
		return err
	}
	if n = min(n, free/2); n <= 0 {
		return nil
	}
	mem, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("bench: mmap: %w", err)
	}
	err = populate(ctx, mem, unix.Madvise)
	if err = errors.Join(err, unix.Munmap(mem)); err != nil {
		return fmt.Errorf("bench: claim memory: %w", err)
	}
	return nil
}

// freeMemory is what nobody uses, not even for a page cache: of the host, and of what this process's control group may
// have, whose limit the kernel enforces by killing.
func freeMemory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("bench: sysinfo: %w", err)
	}
	return min(int64(info.Freeram)*int64(info.Unit), groupFree(os.DirFS("/"))), nil
}

// populate touches all of mem by madvise. A kernel before 5.14 cannot, and says EINVAL; the figures are less steady
// then, and that is all.
func populate(ctx context.Context, mem []byte, madvise func(mem []byte, advice int) error) error {
	for len(mem) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := min(len(mem), claimStep)
		err := madvise(mem[:step], unix.MADV_POPULATE_WRITE)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
		mem = mem[step:]
	}
	return nil
}

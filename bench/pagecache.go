package bench

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dropFile makes the kernel forget what it has read; see proc_sys_vm(5).
const dropFile = "/proc/sys/vm/drop_caches"

// mayDropPageCache is an error where this process may not.
func mayDropPageCache() error {
	f, err := os.OpenFile(dropFile, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// dropPageCache makes the kernel forget all pages, names and attributes: of mounts, of plain files, and of a cache's
// data files alike. What was written is on the disk afterwards.
func dropPageCache() error {
	unix.Sync() // what is dirty stays
	if err := os.WriteFile(dropFile, []byte("3"), 0); err != nil {
		return fmt.Errorf("bench: drop the page cache: %w", err)
	}
	return nil
}

// emptyPageCache drops the page cache, and has the machine's memory ready for what w reads.
func (t *target) emptyPageCache(ctx context.Context, w workload) error {
	if err := dropPageCache(); err != nil {
		return err
	}
	return claimMemory(ctx, w.memory(t.objects))
}

// rewarm is emptyPageCache, but for a server of this run's own, which reads its files again: the page cache of a store
// is warm.
func (t *target) rewarm(ctx context.Context, w workload) error {
	if err := dropPageCache(); err != nil {
		return err
	}
	if t.server == nil {
		return claimMemory(ctx, w.memory(t.objects))
	}
	var spans []span
	for _, o := range distinct([]object{t.objects.large}, t.objects.dataset) {
		spans = append(spans, whole(o))
	}
	if _, err := readRaw(ctx, rawSide{t.direct}, spans, noCheck); err != nil {
		return err
	}
	return claimMemory(ctx, w.memory(t.objects))
}

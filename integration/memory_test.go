package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Memory stays within `--memory` and 150 MiB, whatever the load.
//
// 256 readers stream 256 objects at once, whose windows together want sixteen times the memory there is. The daemon is built
// without the race detector, which multiplies memory.
func TestMemoryLimit(t *testing.T) {
	const (
		streams   = 256
		each      = 6 * mib // read of each object
		memory    = 256 * mib
		allowance = 150 * mib
	)
	b := newBucket(t)
	for i := range streams {
		b.putSparse(fmt.Sprint("object-", i), 4*chunk)
	}
	m := startMount(t, mountSpec{
		source: b.source(), endpoint: b.server.Endpoint(), binary: shared.plain, flags: []string{"--memory", "256MiB"},
	})
	m.names() // as a loader does; and no HEAD a file
	if idle := m.peakMemory(); idle > 40*mib {
		t.Errorf("an idle mount takes %d MiB, should be 40 at most", idle/mib)
	}
	var readers errgroup.Group
	for i := range streams {
		readers.Go(func() error { return readStart(m.path(fmt.Sprint("object-", i)), each) })
	}
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
	peak := m.peakMemory()
	t.Logf("peak memory: %d MiB", peak/mib)
	if peak > memory+allowance {
		t.Errorf("the daemon took %d MiB, should be %d at most", peak/mib, (memory+allowance)/mib)
	}
}

// readStart reads the first size bytes of a file, all of which must be zero.
func readStart(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 128<<10)
	for off := int64(0); off < size; off += int64(len(buf)) {
		if _, err := io.ReadFull(f, buf); err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		for i, c := range buf {
			if c != 0 {
				return fmt.Errorf("%s: byte %d is %#x", path, off+int64(i), c)
			}
		}
	}
	return nil
}

// peakMemory is the most memory the daemon ever had resident, in bytes.
func (m *mount) peakMemory() int64 {
	m.t.Helper()
	f := must[*os.File](m.t)(os.Open(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid)))
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kilobytes := must[int64](m.t)(strconv.ParseInt(strings.Fields(value)[0], 10, 64))
			return kilobytes * kib
		}
	}
	m.t.Fatal("the kernel tells no VmHWM")
	return 0
}

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	memoryGiven     = 256 * mib
	memoryAllowance = 150 * mib // for all that is not cached data: the process itself, its requests and connections
	memoryIdle      = 40 * mib
	loadReaders     = 256
	smallFiles      = 4000 // together one and a half times the memory
	smallSize       = 100 * kib
)

// Memory stays within `--memory` and 150 MiB, whatever the load.
//
// The daemon is built without the race detector, which multiplies memory, and has as many readers at once as a large
// node.
func TestMemoryLimit(t *testing.T) {
	b := newBucket(t)
	for i := range loadReaders {
		b.putSparse(fmt.Sprint("streams/", i), 4*chunk)
	}
	b.putSparse("random", 512*chunk)
	for i := range smallFiles {
		b.put(fmt.Sprint("small/", i), pattern(i), smallSize)
	}
	for _, load := range []struct {
		name string
		read func(m *mount, reader int) error
	}{
		// Their windows together want sixteen times the memory there is.
		{"streams", func(m *mount, reader int) error {
			return readZeros(m.path(fmt.Sprint("streams/", reader)), 0, 6*mib, 128<<10)
		}},
		// Each of these reads is a request of its own to the daemon, with a buffer of its own.
		{"direct", func(m *mount, reader int) error {
			return readZeros(m.path(fmt.Sprint("streams/", reader)), unix.O_DIRECT, 6*mib, 1<<20)
		}},
		// Random reads make no two of them share a block.
		{"random", func(m *mount, reader int) error { return readRandom(m.path("random"), 512*chunk, 24, uint64(reader)) }},
		// Small files cost a node and an entry each, beside their bytes.
		{"small", func(m *mount, reader int) error { return readSmall(m, reader) }},
	} {
		t.Run(load.name, func(t *testing.T) {
			m := startMount(t, mountSpec{
				source: b.source(), endpoint: b.server.Endpoint(), binary: shared.plain, flags: []string{"--memory", "256MiB"},
			})
			m.names("streams") // as a loader does; and no HEAD a file
			m.names("small")
			if idle := m.peakMemory(); idle > memoryIdle {
				t.Errorf("an idle mount takes %d MiB, should be %d at most", idle/mib, memoryIdle/mib)
			}
			var readers errgroup.Group
			for reader := range loadReaders {
				readers.Go(func() error { return load.read(m, reader) })
			}
			if err := readers.Wait(); err != nil {
				t.Error(err)
			}
			peak := m.peakMemory()
			t.Logf("peak memory: %d MiB", peak/mib)
			if peak > memoryGiven+memoryAllowance {
				t.Errorf("the daemon took %d MiB, should be %d at most", peak/mib, (memoryGiven+memoryAllowance)/mib)
			}
		})
	}
}

// readZeros reads the first size bytes of a file in pieces, all of which must be zero.
func readZeros(path string, flags int, size int64, piece int) error {
	f, err := os.OpenFile(path, os.O_RDONLY|flags, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf, err := alignedBuffer(piece)
	if err != nil {
		return err
	}
	defer unix.Munmap(buf)
	zeros := make([]byte, piece)
	for off := int64(0); off < size; off += int64(piece) {
		if _, err := io.ReadFull(f, buf); err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		if !bytes.Equal(buf, zeros) {
			return fmt.Errorf("%s: the piece at %d is not zero", path, off)
		}
	}
	return nil
}

// readRandom reads pieces of 64 KiB at random offsets.
func readRandom(path string, size int64, reads int, seed uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.New(rand.NewPCG(seed, 0))
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for range reads {
		off := random.Int64N(size - int64(len(buf)))
		if _, err := f.ReadAt(buf, off); err != nil {
			return err
		}
		if !bytes.Equal(buf, zeros) {
			return fmt.Errorf("the piece at %d is not zero", off)
		}
	}
	return nil
}

// readSmall reads every file of the directory small that is the reader's.
func readSmall(m *mount, reader int) error {
	for i := reader; i < smallFiles; i += loadReaders {
		content, err := os.ReadFile(m.path("small", strconv.Itoa(i)))
		if err != nil || int64(len(content)) != smallSize {
			return fmt.Errorf("file %d has %d bytes: %w", i, len(content), err)
		}
		if err := (object{key: m.path("small"), content: pattern(i)}).check(content, 0); err != nil {
			return err
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

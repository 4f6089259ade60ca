package upload

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/upload/journal"
)

// smallDisk is a directory on a disk of so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that is full before the budget is used up has its room back from parts that are stored: a file that is written
// in order goes through. Where there are none, the writer gets the disk's error, and what was written before is stored.
func TestFullDisk(t *testing.T) {
	for _, parts := range []bool{true, false} {
		r := &rig{t: t}
		*r = *newRig(t, func(c *Config) {
			dir, err := journal.Create(filepath.Join(smallDisk(t, "512k"), "staging"), c.Journal.Owner())
			if err := errors.Join(err, c.Journal.Close()); err != nil {
				t.Fatal(err)
			}
			c.Journal = dir
		})
		if !parts {
			r.sizes = newSizes(sizes{part: 64 << 20, largest: 1 << 30, unit: 4 << 20, least: 5 << 20, copied: 256 << 20})
		}
		f, content := r.open("key", true), text(2<<20, 1)
		written := 0
		for ; written < len(content); written += 48 << 10 {
			err := f.WriteAt(context.Background(), content[written:min(len(content), written+48<<10)], int64(written))
			if !parts && errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatalf("after %d bytes: %v", written, err)
			}
		}
		if written = min(written, len(content)); (written == len(content)) != parts || f.Size() != int64(written) {
			t.Errorf("parts %v: %d bytes are written, and it has %d", parts, written, f.Size())
		}
		if err := f.WriteAt(context.Background(), []byte("x"), 0); parts && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("what was let go is written over: %v", err)
		} else if !parts {
			content[0] = 'x'
		}
		r.publish(f)
		f.Close()
		r.settled()
		if got := r.stored("key"); !bytes.Equal(got, content[:written]) {
			t.Errorf("parts %v: %d bytes are stored, should be %d", parts, len(got), written)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.cfg.Journal.Close(); err != nil {
			t.Error(err)
		}
	}
}

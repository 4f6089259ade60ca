package share

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/cache/disk"
)

// command runs a program as root would.
func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// newDisk makes an ext4 in an image, mounts it, and unmounts it when the test ends.
func newDisk(t *testing.T) (image, dir string) {
	t.Helper()
	image, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 128*mib)); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.ext4", "-q", "-F", image)
	command(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return image, dir
}

// shutDown has an ext4 give and take nothing any more.
func shutDown(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const ext4IocShutdown, noLogFlush = 0x8004587d, 2 // from the kernel's ext4.h
	if err := errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ext4IocShutdown, noLogFlush), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDiskGone: who shares a directory whose disk fails goes without it, and ends without an error: it has lost
// nothing.
func TestDiskGone(t *testing.T) {
	_, dir := newDisk(t)
	cache := filepath.Join(dir, "cache")
	owner, sharer := join(t, cache, "owner", 64*mib), join(t, cache, "sharer", 0) // which end before the disk is unmounted, without an error
	v := versionOf("object", 3*mib)
	keep(t, owner, v, 0, 0)
	shutDown(t, dir)
	for _, m := range []*Member{owner, sharer} {
		if right(t, m, v, 0) || m.Lease(v) != nil {
			t.Error("something is read from a disk that is gone")
		}
	}
}

// hurried is a member for whom a minute passes with each look at the clock.
func hurried(t *testing.T, dir string, log *bytes.Buffer) *Member {
	t.Helper()
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(clock.Add(60), 0) }
	m, err := Open(Config{Disk: disk.Config{Dir: dir, Size: 64 * mib, MinFree: 1, Queue: 64 * mib, Now: now, Log: slog.New(slog.NewTextHandler(log, nil))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// TestDiskComesBack: a disk that is dead is left, so that it can be unmounted, and used again when it is back; not what
// lies below its mount point meanwhile.
func TestDiskComesBack(t *testing.T) {
	image, dir := newDisk(t)
	cache := filepath.Join(dir, "cache")
	var log, other bytes.Buffer
	members := []*Member{hurried(t, cache, &log), hurried(t, cache, &other)}
	keep(t, members[0], versionOf("before", 3*mib), 0, 0)
	shutDown(t, dir)
	v := versionOf("lost", 3*mib)
	data := contentOf(v, 0)
	eventually(t, "it is left", func() bool {
		members[0].Offer(&disk.Offer{Version: v, Data: data, Blocks: 0b111, Done: func() {}})
		return members[0].place.Load() == nil && members[1].place.Load() == nil
	})
	errors := members[0].Stats().Errors
	if errors == 0 {
		t.Error("not counted")
	}
	eventually(t, "it can be unmounted", func() bool { return unix.Unmount(dir, 0) == nil })
	eventually(t, "it is looked for", func() bool { return members[0].Stats().Errors > errors })
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("a cache was made elsewhere: %v, %v", entries, err)
	}
	command(t, "mount", "-o", "loop", image, dir)
	eventually(t, "it is used again", func() bool { return members[0].Stats().Limit > 0 && members[1].Stats().Limit > 0 })
	after := versionOf("after", 3*mib)
	keep(t, members[0], after, 0, 0)
	if !right(t, members[1], after, 0) {
		t.Error("what is kept again is not shared")
	}
	for _, m := range members {
		right(t, m, versionOf("before", 3*mib), 0) // it may be there or not
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("logged %d times: %s", n, log.String())
	}
}

// TestBeginsWithoutItsDisk: a cache whose disk does not work when a member opens it is gone without until it does,
// which is said and counted once; what never was a cache is an error.
func TestBeginsWithoutItsDisk(t *testing.T) {
	image, dir := newDisk(t)
	cache, v := filepath.Join(dir, "cache"), versionOf("object", 3*mib)
	m := join(t, cache, "owner", 64*mib)
	keep(t, m, v, 0, 0)
	if err := errors.Join(m.Close(), os.Mkdir(filepath.Join(dir, "empty"), 0o700)); err != nil {
		t.Fatal(err)
	}
	command(t, "mount", "-o", "remount,ro", dir)
	for _, name := range []string{"empty", "missing"} {
		if _, err := Open(Config{Disk: disk.Config{Dir: filepath.Join(dir, name)}}); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s on a read-only disk: %v", name, err)
		}
	}
	var log bytes.Buffer
	m = hurried(t, cache, &log)
	if m.Owner() || m.Hold(v, 0) != nil || m.Stats().Errors == 0 {
		t.Error("a read-only disk is used, or not counted")
	}
	shutDown(t, dir)
	if dead := hurried(t, cache, &log); dead.Owner() || dead.Hold(v, 0) != nil {
		t.Error("a dead disk is used")
	} else if err := dead.Close(); err != nil {
		t.Error(err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	command(t, "mount", "-o", "loop", image, dir)
	eventually(t, "it is used", m.Owner)
	if !right(t, m, v, 0) {
		t.Error("what was kept is not found")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 { // once by each
		t.Errorf("logged %d times: %s", n, log.String())
	}
}

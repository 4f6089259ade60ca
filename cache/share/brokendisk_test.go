package share

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskGone: who shares a directory whose disk fails goes without it, and ends without an error: it has lost nothing.
func TestDiskGone(t *testing.T) {
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 128*mib)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	cache := filepath.Join(dir, "cache")
	owner, sharer := join(t, cache, "owner", 64*mib), join(t, cache, "sharer", 0) // which end before the disk is unmounted, without an error
	v := versionOf("object", 3*mib)
	keep(t, owner, v, 0, 0)
	disk, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const ext4IocShutdown, noLogFlush = 0x8004587d, 2 // from the kernel's ext4.h
	if err := errors.Join(unix.IoctlSetPointerInt(int(disk.Fd()), ext4IocShutdown, noLogFlush), disk.Close()); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Member{owner, sharer} {
		if right(t, m, v, 0) || m.Lease(v) != nil {
			t.Error("something is read from a disk that is gone")
		}
	}
}

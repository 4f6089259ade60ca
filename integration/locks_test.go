package integration

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// flock and fcntl locks are honoured between all processes that use the mount, and who waits for one can be told to
// die.
func TestLocks(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "x")
	m := mountBucket(t, b)
	f := m.open("file")
	fd := int(f.Fd())

	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	const tryFlock = `
import fcntl, sys
try: fcntl.flock(open(sys.argv[1] + "/file", "rb"), fcntl.LOCK_SH | fcntl.LOCK_NB); print("got it")
except BlockingIOError: print("taken")`
	if got := m.python(tryFlock); got != "taken" {
		t.Errorf("flock of another process: %s", got)
	}
	waiting := start(t, exec.Command("flock", "--shared", m.path("file"), "true"))
	eventually(t, patience, "flock to wait", func() bool {
		return waiting.ended() || waitsInKernel(waiting.cmd.Process.Pid)
	})
	checkDies(t, waiting, syscall.SIGINT)
	if err := unix.Flock(fd, unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if got := m.python(tryFlock); got != "got it" {
		t.Errorf("flock of another process after the unlock: %s", got)
	}

	// A read-only descriptor can take an fcntl lock for reading alone; F_GETLK tells of another process's.
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: 10, Len: 5}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	const getLock = `
import fcntl, struct, sys
f = open(sys.argv[1] + "/file", "rb")
answer = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
print(*struct.unpack("hhqqi4x", answer)[:4])`
	if got := strings.Fields(m.python(getLock)); strings.Join(got, " ") != "0 0 10 5" {
		t.Errorf("F_GETLK in another process: %q, should be a read lock of 5 bytes at 10", got)
	}
}

// A lock stays with its file when the file or a directory above it is renamed, and is in nobody's way once the file is
// removed.
func TestLocksOfRenamedFiles(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]struct {
		from, to string // what is renamed
		after    string // where the file is then
	}{
		"file":      {"dir/file", "moved", "moved"},
		"directory": {"dir", "other", "other/file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			b.putText("dir/file", "x")
			m := mountBucket(t, b)
			holder := m.open("dir/file")
			if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			waiting := start(t, exec.Command("flock", m.path("dir/file"), "true"))
			eventually(t, patience, "flock to wait", func() bool {
				return waiting.ended() || waitsInKernel(waiting.cmd.Process.Pid)
			})
			if err := os.Rename(m.path(move.from), m.path(move.to)); err != nil {
				t.Fatal(err)
			}
			if got := flockNow(m, move.after); got != unix.EWOULDBLOCK { // after it, who waited would have been told
				t.Errorf("by its new name: %v", got)
			}
			if waiting.ended() {
				t.Error("who waited has got the lock that is held")
			}
			if err := os.MkdirAll(m.path("dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(m.path("dir/file"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := flockNow(m, "dir/file"); got != nil {
				t.Errorf("another file of the old name: %v", got)
			}
			if err := unix.Flock(int(holder.Fd()), unix.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			if waiting.await(patience); !waiting.cmd.ProcessState.Success() {
				t.Errorf("who waited, when it is free: %v", waiting.cmd.ProcessState)
			}
			if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(m.path(move.after)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(m.path(move.after), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := flockNow(m, move.after); got != nil {
				t.Errorf("a new file in place of the one that was removed: %v", got)
			}
		})
	}
}

// flockNow takes a flock on a file, if it is to be had at once, and gives it back.
func flockNow(m *mount, name string) error {
	f, err := os.Open(m.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

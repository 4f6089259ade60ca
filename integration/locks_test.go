package integration

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// flock and fcntl locks are honoured between all processes that use the mount, and who waits for one can be told to die.
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

package fs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeFusermount does what fusermount3 does: this binary is it when it is called by that name.
func fakeFusermount(args []string) int {
	dir := args[len(args)-1]
	if args[0] == "-u" {
		if err := unix.Unmount(dir, 0); err != nil {
			fmt.Fprintln(os.Stderr, "fusermount3: failed to unmount:", err)
			return 1
		}
		return 0
	}
	if strings.Contains(args[1], "allow_other") {
		fmt.Fprintln(os.Stderr, "fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf")
		return 1
	}
	if !strings.Contains(args[1], `fsname=a\,b`) || !strings.Contains(args[1], "ro,") {
		fmt.Fprintln(os.Stderr, "fusermount3: unexpected options", args[1])
		return 1
	}
	fd, err := mountDirectly(dir, MountOptions{FSName: "a,b", readOnly: true}, false)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	socket, err := strconv.Atoi(os.Getenv(commVariable))
	if err == nil {
		err = unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// installFusermount puts fakeFusermount on the path.
func installFusermount(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, bin+"/fusermount3"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	helper, found := findFusermount()
	if !found {
		t.Fatal("fusermount3 is not found")
	}
	return helper
}

// TestMountByHelper takes the descriptor that fusermount3 sends.
func TestMountByHelper(t *testing.T) {
	helper, dir := installFusermount(t), t.TempDir()
	fd, err := mountByHelper(helper, dir, MountOptions{FSName: "a,b", readOnly: true}, false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDevice(fd)
	if err != nil {
		t.Fatal(err)
	}
	if d.dead() {
		t.Error("the connection is dead")
	}
	info, err := findMount(dir)
	if err != nil || info.owner != os.Getuid() {
		t.Errorf("%+v, %v", info, err)
	}
	if err := unmountByHelper(helper, info, false); err != nil {
		t.Error(err)
	}
	if !d.dead() {
		t.Error("the connection lives on without a mount")
	}
	if err := unmountByHelper(helper, info, false); err == nil {
		t.Error("unmounted twice")
	}
	if err := syscall.Close(fd); err != nil {
		t.Error(err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// TestMountByHelperRefused has the helper's words in the error.
func TestMountByHelperRefused(t *testing.T) {
	helper := installFusermount(t)
	_, err := mountByHelper(helper, t.TempDir(), MountOptions{FSName: "a,b", AllowOther: true}, false)
	if err == nil || !strings.Contains(err.Error(), "user_allow_other") {
		t.Errorf("got %v", err)
	}
}

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Files have the object's size and its time of change, in whole seconds; directories have one link.
func TestSizesAndTimes(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("dir/file", 1, 12345)
	changed := time.Date(2021, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	if err := os.Chtimes(b.path("dir/file"), changed, changed); err != nil {
		t.Fatal(err)
	}
	single, listed := mountBucket(t, b), mountBucket(t, b) // HEAD and LIST tell the same
	listed.names("dir")
	for _, m := range []*mount{single, listed} {
		info := must[os.FileInfo](t)(os.Stat(m.path("dir", "file")))
		if info.Size() != 12345 || !info.Mode().IsRegular() {
			t.Errorf("got %v of %d bytes", info.Mode(), info.Size())
		}
		if want := changed.Truncate(time.Second); !info.ModTime().Equal(want) {
			t.Errorf("changed at %v, should be %v", info.ModTime(), want)
		}
		st := statOf(t, m.path("dir"))
		if st.Nlink != 1 {
			t.Errorf("the directory has %d links", st.Nlink)
		}
		if file := statOf(t, m.path("dir", "file")); file.Nlink != 1 || file.Blocks != (12345+511)/512 {
			t.Errorf("the file has %d links and %d blocks", file.Nlink, file.Blocks)
		}
	}
}

// Owner, group and modes come from `--uid`, `--gid`, `--file-mode` and `--dir-mode`, and the kernel checks them.
func TestOwnerAndModes(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/file", "x")
	m := mountBucket(t, b, "--allow-other", "--uid", "1234", "--gid", "5678", "--file-mode", "0640", "--dir-mode", "0750")
	file, dir := statOf(t, m.path("dir", "file")), statOf(t, m.path("dir"))
	for _, st := range []unix.Stat_t{file, dir} {
		if st.Uid != 1234 || st.Gid != 5678 {
			t.Errorf("owner %d, group %d", st.Uid, st.Gid)
		}
	}
	if file.Mode != unix.S_IFREG|0o640 || dir.Mode != unix.S_IFDIR|0o750 {
		t.Errorf("modes %o and %o", file.Mode, dir.Mode)
	}
	path := m.path("dir", "file")
	for _, user := range []struct {
		uid, gid uint32
		may      bool
	}{{1234, 1, true}, {1, 5678, true}, {1, 1, false}} {
		if err := catAs(path, user.uid, user.gid); (err == nil) != user.may {
			t.Errorf("reading as user %d of group %d: %v", user.uid, user.gid, err)
		}
	}
}

// With `--allow-other`, other users get in as far as owner and modes allow; without it, nobody but who mounted.
func TestAllowOther(t *testing.T) {
	t.Parallel()
	const other = 65534
	b := newBucket(t)
	b.putText("file", "x")
	closed, open := mountBucket(t, b), mountBucket(t, b, "--allow-other")
	if err := catAs(open.path("file"), other, other); err != nil {
		t.Errorf("with --allow-other: %v", err)
	}
	if err := catAs(closed.path("file"), other, other); err == nil {
		t.Error("another user read a file without --allow-other")
	}
}

// catAs reads a file as another user.
func catAs(path string, uid, gid uint32) error {
	cmd := exec.Command("cat", path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// The extended attributes `user.s3.etag`, `user.s3.key`, `user.s3.storage_class` and `user.headrace.cached` tell of the
// object behind a file; `user.headrace.store` of the mount point tells how its store is reached. They cannot be
// changed.
func TestExtendedAttributes(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("prefix/dir/file", 1, 3*mib)
	m := startMount(t, mountSpec{source: b.source() + "/prefix", endpoint: b.server.Endpoint()})
	path := m.path("dir", "file")
	for name, want := range map[string]string{
		"user.s3.etag": o.etag(), "user.s3.key": "prefix/dir/file", "user.s3.storage_class": "STANDARD", "user.headrace.cached": "0",
	} {
		if got := attribute(t, path, name); got != want {
			t.Errorf("%s is %q, should be %q", name, got, want)
		}
	}
	if got := attribute(t, m.dir, "user.headrace.store"); !strings.Contains(got, b.server.Endpoint()) || !strings.Contains(got, b.source()+"/prefix") || strings.Contains(got, secretKey) {
		t.Errorf("the mount's store is %q", got)
	}
	m.read("dir", "file")
	if cached := must[int64](t)(strconv.ParseInt(attribute(t, path, "user.headrace.cached"), 10, 64)); cached != o.size {
		t.Errorf("%d bytes are cached after the whole file was read, should be %d", cached, o.size)
	}
	list := make([]byte, 1000)
	n := must[int](t)(unix.Listxattr(path, list))
	names := strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00")
	for _, name := range []string{"user.s3.etag", "user.s3.key", "user.s3.storage_class", "user.headrace.cached"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among the names %q", name, names)
		}
		if err := unix.Setxattr(path, name, []byte("x"), 0); err == nil {
			t.Errorf("%s could be changed", name)
		}
	}
	if _, err := unix.Getxattr(path, "user.other", list); err != unix.ENODATA {
		t.Errorf("an attribute that is not there: %v, should be ENODATA", err)
	}
}

// statfs tells of a large, constant space.
func TestStatfs(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("file", 1, mib)
	m := mountBucket(t, b)
	var before, after unix.Statfs_t
	if err := unix.Statfs(m.dir, &before); err != nil {
		t.Fatal(err)
	}
	m.read("file")
	if err := unix.Statfs(m.path("file"), &after); err != nil {
		t.Fatal(err)
	}
	const tebibyte = 1 << 40
	if space := before.Bavail * uint64(before.Bsize); space < tebibyte || before.Files == 0 || before.Namelen != 255 {
		t.Errorf("%d bytes available, %d inodes, names of %d bytes", space, before.Files, before.Namelen)
	}
	if before.Blocks != after.Blocks || before.Bavail != after.Bavail {
		t.Errorf("the space went from %d to %d blocks", before.Bavail, after.Bavail)
	}
}

func attribute(t *testing.T, path, name string) string {
	t.Helper()
	value := make([]byte, 2000)
	n, err := unix.Getxattr(path, name, value)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, path, err)
	}
	return string(value[:n])
}

func statOf(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

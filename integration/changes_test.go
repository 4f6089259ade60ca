package integration

import (
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With `--read-only` every change is EROFS: create, write, truncate, mkdir, rmdir, unlink, rename, link, symlink,
// mknod, chmod, chown, utimens, setxattr.
//
// The kernel itself knows that the mount is read-only.
func TestEveryChangeIsEROFS(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("dir/file", 1, 100)
	b.putMarker("empty")
	m := mountBucket(t, b, "--read-only")
	for name, change := range changes(m) {
		if err := change(); !isErrno(err, syscall.EROFS) {
			t.Errorf("%s: %v, should be EROFS", name, err)
		}
	}
	checkNames(t, m.names(), "dir", "empty")
	if got, err := hashFile("read", m.path("dir", "file")); err != nil || got != o.sha256() {
		t.Errorf("the file is now %s, %v", got, err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(m.dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Flags&unix.ST_RDONLY == 0 {
		t.Error("the kernel does not know that the mount is read-only")
	}
}

// changes are the ways to change something, by name.
func changes(m *mount) map[string]func() error {
	file, fresh := m.path("dir", "file"), m.path("dir", "new")
	open := func(path string, flags int) func() error {
		return func() error {
			f, err := os.OpenFile(path, flags, 0o644)
			if err == nil {
				f.Close()
			}
			return err
		}
	}
	return map[string]func() error{
		"create":             open(fresh, os.O_CREATE|os.O_WRONLY),
		"create exclusively": open(fresh, os.O_CREATE|os.O_EXCL|os.O_RDWR),
		"open to write":      open(file, os.O_WRONLY),
		"open to append":     open(file, os.O_WRONLY|os.O_APPEND),
		"open to truncate":   open(file, os.O_RDWR|os.O_TRUNC),
		"truncate":           func() error { return os.Truncate(file, 5) },
		"mkdir":              func() error { return os.Mkdir(fresh, 0o755) },
		"rmdir":              func() error { return unix.Rmdir(m.path("empty")) },
		"unlink":             func() error { return unix.Unlink(file) },
		"rename":             func() error { return os.Rename(file, fresh) },
		"rename a directory": func() error { return os.Rename(m.path("dir"), m.path("dir2")) },
		"link":               func() error { return os.Link(file, fresh) },
		"symlink":            func() error { return os.Symlink("file", fresh) },
		"mkfifo":             func() error { return unix.Mkfifo(fresh, 0o644) },
		"mknod":              func() error { return unix.Mknod(fresh, unix.S_IFCHR|0o644, 1<<8|3) },
		"chmod":              func() error { return os.Chmod(file, 0o600) },
		"chown":              func() error { return os.Chown(file, 1, 1) },
		"utimens":            func() error { return os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) },
		"setxattr":           func() error { return unix.Setxattr(file, "user.x", []byte("x"), 0) },
		"removexattr":        func() error { return unix.Removexattr(file, "user.s3.etag") },
	}
}

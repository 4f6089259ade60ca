package integration

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// chmod, chown and utimens are accepted, and kept while the file is written; they are not stored.
func TestAttributesAreAccepted(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	f := m.openFile(os.O_CREATE|os.O_RDWR, "file")
	when := time.Unix(1_000_000_000, 0)
	for _, err := range []error{f.Chmod(0o600), os.Chown(f.Name(), 0, 0), os.Chtimes(f.Name(), when, when)} {
		if err != nil {
			t.Error(err)
		}
	}
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 || !info.ModTime().Equal(when) {
		t.Errorf("while it is written: %v %v %v", info.Mode(), info.ModTime(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the empty file to be stored", func() bool { return b.stored("file") != nil })
}

// There are no hard links, devices, fifos and sockets (EPERM), no symbolic links (EOPNOTSUPP), and no attributes of
// one's own (EOPNOTSUPP).
func TestWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "content")
	m := mountBucket(t, b)
	for name, refused := range map[string]struct{ err, want error }{
		"link":        {os.Link(m.path("file"), m.path("link")), syscall.EPERM},
		"fifo":        {unix.Mkfifo(m.path("fifo"), 0o644), syscall.EPERM},
		"device":      {unix.Mknod(m.path("device"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))), syscall.EPERM},
		"socket":      {unix.Mknod(m.path("socket"), unix.S_IFSOCK|0o644, 0), syscall.EPERM},
		"symlink":     {os.Symlink("file", m.path("symlink")), syscall.EOPNOTSUPP},
		"setxattr":    {unix.Setxattr(m.path("file"), "user.own", []byte("x"), 0), syscall.EOPNOTSUPP},
		"removexattr": {unix.Removexattr(m.path("file"), "user.s3.etag"), syscall.EOPNOTSUPP},
	} {
		if !errors.Is(refused.err, refused.want) {
			t.Errorf("%s: %v, should be %v", name, refused.err, refused.want)
		}
	}
	if err := unix.Mknod(m.path("regular"), unix.S_IFREG|0o644, 0); err != nil {
		t.Errorf("a regular file by mknod: %v", err)
	}
	if got := m.names(); len(got) != 2 {
		t.Errorf("the directory has %q", got)
	}
}

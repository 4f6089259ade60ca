package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mkdir makes a directory that other clients see as a marker; rmdir removes it, and is ENOTEMPTY when something is in
// it.
func TestMakeAndRemoveDirectories(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	if err := os.MkdirAll(m.path("a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.path("a/b")); err != nil || !info.IsDir() {
		t.Errorf("the server has %v, %v", info, err)
	}
	if err := os.Mkdir(m.path("a"), 0o755); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once more: %v", err)
	}
	if err := os.Remove(m.path("a")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("rmdir of a directory with one in it: %v", err)
	}
	m.write("x", "a", "b", "file")
	if err := os.Remove(m.path("a", "b")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("rmdir of a directory with a file in it: %v", err)
	}
	if err := os.RemoveAll(m.path("a")); err != nil {
		t.Fatal(err)
	}
	if got := m.names(); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
	if _, err := os.Stat(b.path("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the server has it still: %v", err)
	}
}

// A directory stays when its last file is removed or moved away, also one that had no marker.
func TestDirectoryStays(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("one/file", "x")
	b.putText("two/file", "x")
	m := mountBucket(t, b)
	if err := os.Remove(m.path("one", "file")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.path("two", "file"), m.path("file")); err != nil {
		t.Fatal(err)
	}
	other := mountBucket(t, b)
	for _, dir := range []string{"one", "two"} {
		if info, err := os.Stat(other.path(dir)); err != nil || !info.IsDir() {
			t.Errorf("%s: another mount sees %v, %v", dir, info, err)
		}
	}
}

// A file that is removed, or replaced by a rename, while it is open can be read and written to its end by those who
// have it open.
func TestRemoveWhileOpen(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for _, how := range []string{"removed", "replaced"} {
		o := b.put(how, 1, 3*chunk+5)
		f := m.openFile(os.O_RDWR, how)
		if how == "removed" {
			if err := os.Remove(m.path(how)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(m.path(how)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: stat says %v", how, err)
			}
		} else {
			m.write("other", "other")
			if err := os.Rename(m.path("other"), m.path(how)); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, o.size)
		if n, err := f.ReadAt(buf, 0); int64(n) != o.size {
			t.Fatalf("%s: %d bytes are read, %v", how, n, err)
		}
		if err := o.check(buf, 0); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := f.WriteAt([]byte("written"), 5); err != nil {
			t.Errorf("%s: write: %v", how, err)
		}
		small := make([]byte, 7)
		if _, err := f.ReadAt(small, 5); err != nil || string(small) != "written" {
			t.Errorf("%s: %q %v", how, small, err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: close: %v", how, err)
		}
	}
	b.wantNothing("removed")
	b.want("replaced", "other")
}

// What such a file needs is fetched before its object goes, up to `--keep-removed`; of a larger file, what is not local
// by then is ESTALE.
func TestRemoveMoreThanIsKept(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 8*chunk)
	m := mountFaulty(t, b, b.server.Endpoint(), "--memory", "32MiB", "--keep-removed", "1MiB")
	f := m.open("object")
	readFirst(t, f, o)
	if err := os.Remove(m.path("object")); err != nil {
		t.Fatal(err)
	}
	checkMissing(t, m.path("object"))
	checkFixed(t, f, o)
}

// A file that is removed before it is stored never comes to be in the bucket.
func TestRemoveUnstored(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	f := m.openFile(os.O_CREATE|os.O_RDWR, "file")
	if err := write(f, "content"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.path("file")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	checkMissing(t, m.path("file"))
	if puts := countOf(p.take(t), "PUT "); puts > 0 {
		t.Errorf("%d PUTs were made", puts)
	}
	b.wantNothing("file")
}

// A file that is removed while --write-back stores it does not come to be afterwards, and its directory can be removed.
func TestRemoveWhileStored(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b, "--write-back")
	const rounds = 60 // each has the removal come at another moment
	for i := range rounds {
		dir := m.path(fmt.Sprint("temporary-", i))
		file := filepath.Join(dir, "file")
		for _, err := range []error{os.Mkdir(dir, 0o755), os.WriteFile(file, []byte("content"), 0o644), os.Remove(file), os.Remove(dir)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	m.stop()
	checkNames(t, mountBucket(t, b).names())
}

// A file may be closed while it is being unlinked, and its content fetched for who had it open: nobody is left to read
// it, and the name is gone.
func TestCloseWhileUnlinked(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("file", 1, 3*chunk)
	p := newProxy(t, b.server.Endpoint())
	m := startMount(t, mountSpec{source: b.source(), endpoint: p.endpoint()})
	f := must[*os.File](t)(os.Open(m.path("file")))
	held := p.inject(&fault{operation: "GET", key: "file", act: hold()})
	unlinked := make(chan error, 1)
	go func() { unlinked <- os.Remove(m.path("file")) }()
	eventually(t, patience, "the content to be asked for", func() bool { return held.hits() > 0 })
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := unix.Statfs(m.dir, new(unix.Statfs_t)); err != nil { // a round trip, so that the release is likely to have come
		t.Error(err)
	}
	p.heal()
	if err := <-unlinked; err != nil {
		t.Errorf("unlink: %v", err)
	}
	b.wantNothing("file")
}

package integration

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A name that was a file may become a directory, and the other way round; the first path that leads through the new
// directory may once more be ENOTDIR.
func TestFileBecomesDirectory(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("name", "a file")
	m := mountBucket(t, b, "--metadata-ttl", "0s")
	held := m.open("name")
	for range 3 {
		if got := m.read("name"); got != "a file" {
			t.Errorf("the file holds %q", got)
		}
		b.remove("name")
		b.putText("name/below", "in a directory")
		if _, err := os.Stat(m.path("name", "below")); err != nil && !isErrno(err, syscall.ENOTDIR) {
			t.Errorf("the first path through the new directory: %v", err)
		}
		if got := m.read("name", "below"); got != "in a directory" {
			t.Errorf("the file in the directory holds %q", got)
		}
		checkNames(t, m.names("name"), "below")
		if err := os.RemoveAll(b.path("name")); err != nil {
			t.Fatal(err)
		}
		checkMissing(t, m.path("name", "below"))
		b.putText("name", "a file")
	}
	buf := make([]byte, 6)
	if _, err := held.ReadAt(buf, 0); err != nil || string(buf) != "a file" {
		t.Errorf("the file that was open all the time holds %q, %v", buf, err)
	}
}

// The size and time of an open file are those of the version that was opened.
func TestOpenFileKeepsItsSize(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("object", 1, 1000)
	m := mountBucket(t, b, "--metadata-ttl", "0s")
	f := m.open("object")
	for i, size := range []int64{10, 5 * mib, 0} {
		b.put("object", pattern(i+2), size)
		checkSize(t, m.path("object"), size)
		if info := must[os.FileInfo](t)(f.Stat()); info.Size() != 1000 {
			t.Errorf("the open file has %d bytes now, had 1000", info.Size())
		}
	}
	checkFirstBytes(t, f, object{key: "object", content: 1, size: 1000})
}

// stat and open of a name whose object was replaced find the new one, and never an error.
//
// The names were listed before and some are open, so the mount remembers the old versions in more than one place.
func TestStatOfReplacedFiles(t *testing.T) {
	t.Parallel()
	const count = 200
	b := newBucket(t)
	b.putMany("dir", count)
	m := mountBucket(t, b, "--metadata-ttl", "0s")
	if names := m.names("dir"); len(names) != count {
		t.Errorf("%d names", len(names))
	}
	for i := range count {
		path := m.path("dir", manyName(i))
		if i%2 == 0 {
			m.open("dir", manyName(i))
		}
		checkSize(t, path, 1)
		b.put("dir/"+manyName(i), pattern(i), 12345)
		if i%4 < 2 { // by open, or by stat first
			checkOpens(t, path, object{key: path, content: pattern(i), size: 12345})
		}
		checkSize(t, path, 12345)
		checkSize(t, path, 12345)
		checkOpens(t, path, object{key: path, content: pattern(i), size: 12345})
	}
}

// checkOpens opens a file and compares the whole of it.
func checkOpens(t *testing.T, path string, o object) {
	t.Helper()
	content := must[[]byte](t)(os.ReadFile(path))
	if err := o.check(content, 0); err != nil || int64(len(content)) != o.size {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

// Inode numbers are the same in a listing and in stat, stay the same while the mount lives and the name is in use, and
// differ between files.
func TestInodeNumbers(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	const count = 1500
	b.putMany("dir", count)
	b.putText("dir/sub/file", "x")
	m := mountBucket(t, b, "--metadata-ttl", "0s")
	const script = `
import os, sys
seen = {}
for root, dirs, files in os.walk(sys.argv[1]):
    for entry in os.scandir(root):
        ino = os.lstat(entry.path).st_ino
        assert entry.inode() == ino, "%s: %d in the listing, %d by stat" % (entry.path, entry.inode(), ino)
        assert ino not in seen, "%s and %s share inode %d" % (entry.path, seen[ino], ino)
        seen[ino] = entry.path
print(len(seen))`
	if got := m.python(script); got != "1503" {
		t.Errorf("%s inodes, should be 1503", got)
	}
	f := m.open("dir", manyName(7))
	before := statOf(t, f.Name()).Ino
	b.put("dir/"+manyName(7), 9, 12345) // another version is the same file
	if after := statOf(t, f.Name()).Ino; after != before {
		t.Errorf("the inode number went from %d to %d with a new version", before, after)
	}
}

// Programs can be run from the mount.
func TestRunProgram(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	program := must[[]byte](t)(os.ReadFile(must[string](t)(filepath.EvalSymlinks("/bin/cat"))))
	b.putText("bin/cat", string(program))
	m := mountBucket(t, b, "--file-mode", "0755")
	if got := m.shell(`echo it runs | "$MNT/bin/cat"`); got != "it runs\n" {
		t.Errorf("the program printed %q", got)
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, m.path("bin", "cat"), 0, unix.STATX_BASIC_STATS, &st); err != nil || st.Mode&0o777 != 0o755 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
}

// checkFirstBytes compares the whole of a small open file with what it should be.
func checkFirstBytes(t *testing.T, f *os.File, o object) {
	t.Helper()
	buf := make([]byte, o.size)
	if _, err := f.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	if err := o.check(buf, 0); err != nil {
		t.Error(err)
	}
}

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// stored is what the server has under a key, as another client sees it; nil for nothing.
func (b *bucket) stored(key string) []byte {
	b.t.Helper()
	content, err := os.ReadFile(b.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// want fails the test unless the server has this under the key.
func (b *bucket) want(key, content string) {
	b.t.Helper()
	if got := b.stored(key); string(got) != content {
		b.t.Errorf("%s: the bucket has %d bytes (%.40q), should be %d (%.40q)", key, len(got), got, len(content), content)
	}
}

// write writes a file whole, as a program does.
func (m *mount) write(content string, elem ...string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(elem...), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// openFile opens a file for reading and writing until the end of the test.
func (m *mount) openFile(flags int, elem ...string) *os.File {
	m.t.Helper()
	f := must[*os.File](m.t)(os.OpenFile(m.path(elem...), flags, 0o644))
	m.t.Cleanup(func() { f.Close() })
	return f
}

// noise is n bytes that are the same for the same seed.
func noise(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// What is written is in the bucket, whole, when close() or fsync() returns 0, and not before.
func TestStoredAtClose(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	for _, size := range []int{0, 1, 4096, 1 << 20, 70 << 20} {
		name, content := fmt.Sprint("size-", size), noise(size, 1)
		f := m.openFile(os.O_CREATE|os.O_RDWR, name)
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if got := b.stored(name); got != nil {
			t.Errorf("%s: %d bytes are stored before close", name, len(got))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.stored(name), content) {
			t.Errorf("%s: something else is stored after close", name)
		}
	}
	f := m.openFile(os.O_CREATE|os.O_RDWR, "synced")
	for i, more := range []string{"one", "two"} {
		if _, err := f.WriteString(more); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		b.want("synced", "onetwo"[:3+3*i])
	}
}

// A file can be written anywhere and in any order, appended to, made shorter and longer, allocated and punched; what was never written reads as zeros.
func TestWriteAnywhere(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	old := noise(300_000, 1)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m := mountBucket(t, b)
	for name, do := range map[string]struct {
		change func(f *os.File) error
		want   func(old []byte) []byte
	}{
		"in the middle": {
			func(f *os.File) error { _, err := f.WriteAt([]byte("changed"), 100_000); return err },
			func(c []byte) []byte { copy(c[100_000:], "changed"); return c },
		},
		"backwards": {
			func(f *os.File) error {
				for off := int64(90_000); off >= 0; off -= 10_000 {
					if _, err := f.WriteAt(noise(10_000, uint64(off)), off); err != nil {
						return err
					}
				}
				return nil
			},
			func(c []byte) []byte {
				for off := 0; off <= 90_000; off += 10_000 {
					copy(c[off:], noise(10_000, uint64(off)))
				}
				return c
			},
		},
		"far beyond": {
			func(f *os.File) error { _, err := f.WriteAt([]byte("far"), 500_000); return err },
			func(c []byte) []byte { return append(append(c, make([]byte, 200_000)...), "far"...) },
		},
		"shorter": {
			func(f *os.File) error { return f.Truncate(1000) },
			func(c []byte) []byte { return c[:1000] },
		},
		"shorter and longer": {
			func(f *os.File) error { return errors.Join(f.Truncate(1000), f.Truncate(2000)) },
			func(c []byte) []byte { return append(c[:1000], make([]byte, 1000)...) },
		},
		"empty": {
			func(f *os.File) error { return f.Truncate(0) },
			func([]byte) []byte { return []byte{} },
		},
		"allocated": {
			func(f *os.File) error { return unix.Fallocate(int(f.Fd()), 0, 0, 400_000) },
			func(c []byte) []byte { return append(c, make([]byte, 100_000)...) },
		},
		"allocated, the size kept": {
			func(f *os.File) error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 400_000) },
			func(c []byte) []byte { return c },
		},
		"punched": {
			func(f *os.File) error {
				return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 10_000, 100_000)
			},
			func(c []byte) []byte { clear(c[10_000:110_000]); return c },
		},
		"zeroed": {
			func(f *os.File) error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, 290_000, 20_000) },
			func(c []byte) []byte { clear(c[290_000:]); return append(c, make([]byte, 10_000)...) },
		},
		"copied by the kernel": {
			func(f *os.File) error {
				from, to := int64(0), int64(200_000)
				for left := 100_000; left > 0; {
					n, err := unix.CopyFileRange(int(f.Fd()), &from, int(f.Fd()), &to, left, 0)
					if err != nil || n == 0 {
						return fmt.Errorf("%d bytes are left: %w", left, err)
					}
					left -= n
				}
				return nil
			},
			func(c []byte) []byte { copy(c[200_000:], c[:100_000]); return c },
		},
	} {
		name = strings.ReplaceAll(name, " ", "-")
		b.putText(name, string(old))
		f := m.openFile(os.O_RDWR, name)
		must(do.change(f))
		want := do.want(bytes.Clone(old))
		got := make([]byte, len(want)+10)
		n, _ := f.ReadAt(got, 0)
		if !bytes.Equal(got[:n], want) {
			t.Errorf("%s: before close %d bytes are read, should be %d", name, n, len(want))
		}
		must(f.Close())
		if !bytes.Equal(b.stored(name), want) {
			t.Errorf("%s: %d bytes are stored, should be %d", name, len(b.stored(name)), len(want))
		}
		if m.read(name) != string(want) {
			t.Errorf("%s: something else is read after close", name)
		}
	}
}

// O_APPEND writes at the end, whoever else does; O_TRUNC begins anew; O_SYNC has each write in the bucket when it returns.
func TestOpenFlags(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	b.putText("log", "begin\n")
	var g errgroup.Group
	const writers, lines = 4, 50
	for w := range writers {
		f := m.openFile(os.O_WRONLY|os.O_APPEND, "log")
		g.Go(func() error {
			for i := range lines {
				if _, err := fmt.Fprintf(f, "writer %d line %02d\n", w, i); err != nil {
					return err
				}
			}
			return f.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(b.stored("log"))), "\n")
	seen := make(map[string]bool)
	for _, line := range got {
		seen[line] = true
	}
	if len(got) != 1+writers*lines || len(seen) != len(got) {
		t.Errorf("%d lines, %d different, should be %d", len(got), len(seen), 1+writers*lines)
	}
	f := m.openFile(os.O_WRONLY|os.O_TRUNC, "log")
	if _, err := f.WriteString("anew"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.want("log", "anew")
	f = m.openFile(os.O_WRONLY|os.O_CREATE|os.O_SYNC, "sync")
	for i := range 3 {
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		b.want("sync", strings.Repeat("x", i+1))
	}
}

// What this mount changes, this mount sees at once: on every other descriptor, in stat, and in a listing, stored or not.
func TestReadYourOwnWrites(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/old", "old content")
	m := mountBucket(t, b)
	m.names("dir")
	writer, reader := m.openFile(os.O_RDWR, "dir", "old"), m.open("dir", "old")
	if _, err := writer.WriteAt([]byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if err := writer.Truncate(20); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 30)
	n, _ := reader.ReadAt(buf, 0)
	if want := "new content" + strings.Repeat("\x00", 9); string(buf[:n]) != want {
		t.Errorf("another descriptor reads %q", buf[:n])
	}
	if info, err := os.Stat(m.path("dir", "old")); err != nil || info.Size() != 20 {
		t.Errorf("stat: %v %v", info, err)
	}
	fresh := m.openFile(os.O_CREATE|os.O_EXCL|os.O_RDWR, "dir", "fresh")
	if _, err := fresh.WriteString("fresh"); err != nil {
		t.Fatal(err)
	}
	if got := m.names("dir"); len(got) != 2 {
		t.Errorf("the directory has %q", got)
	}
	if got := m.read("dir", "fresh"); got != "fresh" {
		t.Errorf("by its name it reads %q", got)
	}
	b.want("dir/old", "old content")
	b.want("dir/fresh", "")
}

// Several processes and threads may write one file of one mount: each byte is the last one that was written there.
func TestSeveralWriters(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	const writers, piece = 8, 100_000
	m.write("", "file")
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			f, err := os.OpenFile(m.path("file"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			content := bytes.Repeat([]byte{byte('a' + w)}, piece)
			for off := 0; off < piece; off += 7_000 {
				if _, err := f.WriteAt(content[off:min(off+7_000, piece)], int64(w*piece+off)); err != nil {
					return err
				}
			}
			return f.Close()
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for w := range writers {
		want.WriteString(strings.Repeat(string(rune('a'+w)), piece))
	}
	b.want("file", want.String())
}

// A file that is removed or renamed over while it is open can be read and written to its end by those who have it open.
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
	b.want("removed", "")
	b.want("replaced", "other")
}

// Permissions, owner and times may be set by everybody who may change the file, and are kept while it is written; without `--posix-metadata` they are not stored.
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

// Hard links are EPERM or ENOTSUP, devices, fifos and sockets too, and symbolic links without `--posix-metadata`.
func TestWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "content")
	m := mountBucket(t, b)
	for name, err := range map[string]error{
		"link":    os.Link(m.path("file"), m.path("link")),
		"symlink": os.Symlink("file", m.path("symlink")),
		"fifo":    unix.Mkfifo(m.path("fifo"), 0o644),
		"device":  unix.Mknod(m.path("device"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))),
		"socket":  unix.Mknod(m.path("socket"), unix.S_IFSOCK|0o644, 0),
	} {
		if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := unix.Mknod(m.path("regular"), unix.S_IFREG|0o644, 0); err != nil {
		t.Errorf("a regular file by mknod: %v", err)
	}
	if got := m.names(); len(got) != 2 {
		t.Errorf("the directory has %q", got)
	}
}

// mkdir makes a directory that other clients see as a marker; rmdir removes it, and is ENOTEMPTY when something is in it.
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

// A file is renamed to a new name or in place of another file, which is gone as soon as the new one is there; RENAME_NOREPLACE is EEXIST where the name is taken, and RENAME_EXCHANGE EINVAL.
func TestRenameFile(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	b.putText("clean", "clean")
	b.putText("taken", "taken")
	if err := os.Mkdir(m.path("dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	flags := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, m.path(from), unix.AT_FDCWD, m.path(to), flags)
	}
	if err := flags("clean", "taken", unix.RENAME_NOREPLACE); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RENAME_NOREPLACE: %v", err)
	}
	if err := flags("clean", "taken", unix.RENAME_EXCHANGE); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("RENAME_EXCHANGE: %v", err)
	}
	if err := flags("clean", "dir/moved", unix.RENAME_NOREPLACE); err != nil {
		t.Fatal(err)
	}
	b.want("dir/moved", "clean")
	if err := os.Rename(m.path("dir", "moved"), m.path("taken")); err != nil {
		t.Fatal(err)
	}
	b.want("taken", "clean")
	if got := b.stored("clean"); got != nil {
		t.Errorf("the old name has %q", got)
	}
	if err := os.Rename(m.path("taken"), m.path("dir")); err == nil {
		t.Error("a file was renamed over a directory")
	}
	if err := os.Rename(m.path("nothing"), m.path("taken")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	if got := m.read("taken"); got != "clean" {
		t.Errorf("it reads %q", got)
	}
}

// A directory is renamed with all that is below it, in the bucket too.
func TestRenameDirectory(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	const files = 200
	for i := range files {
		b.putText(fmt.Sprintf("from/sub-%d/file-%d", i%7, i), fmt.Sprint(i))
	}
	dirty := m.openFile(os.O_CREATE|os.O_RDWR, "from", "dirty")
	if _, err := dirty.WriteString("dirty"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.path("from"), m.path("to")); err != nil {
		t.Fatal(err)
	}
	if err := dirty.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		b.want(fmt.Sprintf("to/sub-%d/file-%d", i%7, i), fmt.Sprint(i))
	}
	b.want("to/dirty", "dirty")
	if got := m.names(); len(got) != 1 || got[0] != "to" {
		t.Errorf("the root has %q", got)
	}
	if got := m.read("to", "sub-3", "file-3"); got != "3" {
		t.Errorf("a file reads %q", got)
	}
	if err := os.Mkdir(m.path("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Not os.Rename, which does not ask the kernel when there is a directory.
	if err := unix.Rename(m.path("to"), m.path("empty")); err != nil {
		t.Errorf("over an empty directory: %v", err)
	}
	if err := os.Mkdir(m.path("other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Rename(m.path("other"), m.path("empty")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("over one with something in it: %v", err)
	}
	if err := os.Rename(m.path("empty"), m.path("empty", "below")); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("below itself: %v", err)
	}
}

// A name too long for a key (1,024 bytes, the directory's included) is ENAMETOOLONG, also before a directory rename begins.
func TestNamesTooLong(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountBucket(t, b)
	long := strings.Repeat("x", 200)
	deep := filepath.Join(long, long, long, long, long) // 1,004 bytes
	if err := os.MkdirAll(m.path(deep[:803]), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(deep[:803], strings.Repeat("y", 230)), nil, 0o644); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a file: %v", err)
	}
	if err := os.Mkdir(m.path(deep[:803], strings.Repeat("y", 230)), 0o755); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.MkdirAll(m.path("dir", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write("x", "dir", "sub", strings.Repeat("z", 220))
	if err := os.Rename(m.path("dir"), m.path(deep[:803], "dir")); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a directory rename: %v", err)
	}
	if got := m.read("dir", "sub", strings.Repeat("z", 220)); got != "x" {
		t.Errorf("after that the file reads %q", got)
	}
}

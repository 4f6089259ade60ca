package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Files are written anywhere, in any order and by any call (write, pwrite, writev, O_APPEND, O_DIRECT, sendfile,
// copy_file_range, a shared map), and the bucket gets exactly the bytes that a local disk would have.
//
// What lies between what was written, and what truncate adds, reads as zeros.
//
// fallocate makes a file longer, punches holes and makes ranges zeros; its other modes are EOPNOTSUPP.
func TestWritesAsOnALocalDisk(t *testing.T) {
	t.Parallel()
	b, local := newBucket(t), t.TempDir()
	sizes := []int64{-1, 0, 100, 300_000} // -1: there is no file
	keyOf := func(name string, size int64) string {
		return fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), size)
	}
	for name := range writes() { // before the mount, which believes for a second that what it has not seen is not there
		for _, size := range sizes[1:] {
			o := b.put(keyOf(name, size), 1, size)
			if err := os.WriteFile(filepath.Join(local, o.key), o.bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := mountBucket(t, b)
	for name, write := range writes() {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				key := keyOf(name, size)
				wantErr, gotErr := write(filepath.Join(local, key)), write(m.path(key))
				if !errors.Is(gotErr, errnoIn(wantErr)) {
					t.Fatalf("on a local disk: %v; on the mount: %v", wantErr, gotErr)
				}
				want, _ := os.ReadFile(filepath.Join(local, key)) // none where the disk has refused
				got, _ := os.ReadFile(m.path(key))
				if !bytes.Equal(got, want) {
					t.Errorf("the mount has %s, should be as on a local disk, %s", outline(got), outline(want))
				}
				if stored, _ := os.ReadFile(b.path(key)); !bytes.Equal(stored, want) {
					t.Errorf("the bucket has %s, should be as on a local disk, %s", outline(stored), outline(want))
				}
			})
		}
	}
}

// writes are ways to change a file, by name. Each closes it.
func writes() map[string]func(path string) error {
	const rw = os.O_RDWR | os.O_CREATE
	return map[string]func(path string) error{
		"backwards": withFile(rw, func(f *os.File) error {
			for i := range 40 {
				if err := writeAt(f, pattern(i), int64(40-i)*7_001, 5_000+i); err != nil {
					return err
				}
			}
			return nil
		}),
		"overlapping": withFile(rw, func(f *os.File) error {
			return errors.Join(writeAt(f, 1, 0, 10_000), writeAt(f, 2, 5_000, 100), writeAt(f, 3, 9_999, 4097), writeAt(f, 4, 3, 1))
		}),
		"writev": withFile(rw, func(f *os.File) error {
			_, err := unix.Pwritev(int(f.Fd()), [][]byte{[]byte("a"), make([]byte, 5000), []byte("z")}, 4095)
			return err
		}),
		"append": withFile(rw|os.O_APPEND, func(f *os.File) error {
			return errors.Join(write(f, "one "), write(f, "two "), write(f, strings.Repeat("three", 10_000)))
		}),
		"direct": withFile(rw|unix.O_DIRECT, func(f *os.File) error {
			buf, err := alignedBuffer(64 << 10)
			if err != nil {
				return err
			}
			copy(buf, "direct")
			_, err = f.WriteAt(buf, 128<<10)
			return errors.Join(err, unix.Munmap(buf))
		}),
		"a hole":                   withFile(rw, func(f *os.File) error { return writeAt(f, 1, 1_000_000, 10) }),
		"shorter":                  withFile(rw, func(f *os.File) error { return f.Truncate(50) }),
		"longer":                   withFile(rw, func(f *os.File) error { return f.Truncate(700_001) }),
		"shorter and longer again": withFile(rw, func(f *os.File) error { return errors.Join(f.Truncate(33), f.Truncate(5_000)) }),
		"O_TRUNC":                  withFile(rw|os.O_TRUNC, func(f *os.File) error { return write(f, "new") }),
		"O_SYNC":                   withFile(rw|os.O_SYNC, func(f *os.File) error { return writeAt(f, 3, 10, 20_000) }),
		"sendfile into":            withFile(rw, sendInto),
		"copy_file_range inside":   withFile(rw, copyInside),
		"reading between":          withFile(rw, readBetween),
		"by a shared map":          byPython(writeByMap),
		"fallocate": withFile(rw, func(f *os.File) error {
			return errors.Join(write(f, "x"), unix.Fallocate(int(f.Fd()), 0, 10, 400_000))
		}),
		"fallocate within the size": withFile(rw, func(f *os.File) error {
			return errors.Join(write(f, "x"), unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 10, 400_000))
		}),
		"punch a hole": withFile(rw, func(f *os.File) error {
			const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
			return errors.Join(writeAt(f, 5, 0, 20_000), unix.Fallocate(int(f.Fd()), mode, 5_000, 300_000))
		}),
		"make zeros": withFile(rw, func(f *os.File) error {
			return errors.Join(writeAt(f, 5, 0, 20_000), unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE, 15_000, 10_000))
		}),
	}
}

// fallocate's modes that move bytes about are refused: nobody but a database asks for them, and it asks whether they
// are there.
func TestFallocateRefused(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountFaulty(t, b, b.server.Endpoint())
	f := must[*os.File](t)(os.Create(m.path("file")))
	defer f.Close()
	for _, mode := range []uint32{unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE} {
		if err := unix.Fallocate(int(f.Fd()), mode, 0, 4096); !isErrno(err, syscall.EOPNOTSUPP) {
			t.Errorf("mode %d: %v, should be EOPNOTSUPP", mode, err)
		}
	}
}

// What copy_file_range and sendfile read of the mount is what it holds, also what is written there and not stored yet.
func TestCopyOfUnfinishedWrites(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 300_000)
	m := mountBucket(t, b)
	from := must[*os.File](t)(os.OpenFile(m.path("object"), os.O_RDWR, 0))
	defer from.Close()
	if err := write(from, "new"); err != nil {
		t.Fatal(err)
	}
	want := append([]byte("new"), o.bytes()[3:]...)
	to := must[*os.File](t)(os.Create(m.path("copy")))
	off := int64(0)
	n, err := unix.CopyFileRange(int(from.Fd()), &off, int(to.Fd()), nil, len(want), 0)
	if err != nil || n != len(want) {
		t.Errorf("copied %d bytes, %v", n, err)
	}
	if err := to.Close(); err != nil {
		t.Error(err)
	}
	b.want("copy", string(want))
}

// withFile is a change of a file that is open.
func withFile(flags int, do func(f *os.File) error) func(path string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, flags, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}
}

// byPython is a change of a file by a child process: what is mapped must not be touched by this one.
func byPython(script string) func(path string) error {
	return func(path string) error {
		out, err := exec.Command("python3", "-c", script, path).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	}
}

const writeByMap = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 123456)
m = mmap.mmap(fd, 0)
m[0:4] = b"head"
m[50000:60000] = b"x" * 10000
m[-4:] = b"tail"
m.flush()
m[100:104] = b"late"
m.close()
os.fsync(fd)
os.close(fd)
`

func write(f *os.File, text string) error {
	_, err := f.WriteString(text)
	return err
}

func writeAt(f *os.File, content pattern, off int64, size int) error {
	_, err := f.WriteAt(object{content: content, size: int64(size)}.bytes(), off)
	return err
}

// sendInto has the kernel move the bytes of another file.
func sendInto(f *os.File) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	for left := 500_000; left > 0; {
		n, err := unix.Sendfile(int(f.Fd()), int(from.Fd()), nil, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// copyInside copies the start of a file behind its end.
func copyInside(f *os.File) error {
	if err := writeAt(f, 9, 0, 70_000); err != nil {
		return err
	}
	from, to := int64(10), int64(400_000)
	for left := 50_000; left > 0; {
		n, err := unix.CopyFileRange(int(f.Fd()), &from, int(f.Fd()), &to, left, 0)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// readBetween copies, piece by piece, what it reads to elsewhere in the same file.
func readBetween(f *os.File) error {
	buf := make([]byte, 3_000)
	for i := range int64(20) {
		n, err := f.ReadAt(buf, i*2_500)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := f.WriteAt(append(buf[:n:n], byte(i)), i*5_000+1); err != nil {
			return err
		}
	}
	return nil
}

// errnoIn is the errno of an error, nil for none.
func errnoIn(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// outline is content for the message of a failed test.
func outline(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", b[:40], len(b))
	}
	return fmt.Sprintf("%q", b)
}

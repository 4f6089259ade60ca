package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary runs itself as a program that reads files, in one of several ways: a mapped file must not be read by
// the process that runs the proxy (see the package comment), and a reader that is killed must be a process of its own.

// helperVariable makes the test binary such a program.
const helperVariable = "HEADRACE_INTEGRATION_HELPER"

func isHelper() bool { return os.Getenv(helperVariable) != "" }

// methods are the ways to read a whole file.
func methods() map[string]func(f *os.File, size int64, h hash.Hash) error {
	return map[string]func(f *os.File, size int64, h hash.Hash) error{
		"read":     hashByRead,
		"pread":    hashByPread,
		"readv":    hashByReadv,
		"mmap":     hashByMmap,
		"private":  hashByPrivateMmap,
		"sendfile": hashBySendfile,
		"direct":   hashByRead, // opened with O_DIRECT
	}
}

// runHelper reads files by one method and prints their sums, a line each: `METHOD FILE...`; or changes one at random:
// `fsx ...`.
func runHelper(args []string) int {
	if args[0] == "fsx" {
		if err := runFsx(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	for _, path := range args[1:] {
		sum, err := hashFile(args[0], path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(sum)
	}
	return 0
}

func hashFile(method, path string) (string, error) {
	flags := os.O_RDONLY
	if method == "direct" {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if err := methods()[method](f, info.Size(), h); err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// alignedBuffer is memory that starts at a page, as O_DIRECT asks for.
func alignedBuffer(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func hashByRead(f *os.File, _ int64, h hash.Hash) error {
	buf, err := alignedBuffer(256 << 10)
	if err != nil {
		return err
	}
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// hashByPread reads pieces whose size is no multiple of anything, so that they cross pages, blocks and chunks.
func hashByPread(f *os.File, size int64, h hash.Hash) error {
	const piece = 1<<20 - 4093
	_, err := io.CopyBuffer(h, io.NewSectionReader(f, 0, size), make([]byte, piece))
	return err
}

func hashByReadv(f *os.File, _ int64, h hash.Hash) error {
	pieces := [][]byte{make([]byte, 1), make([]byte, 4095), make([]byte, 100_000), make([]byte, 1<<20)}
	for {
		n, err := unix.Readv(int(f.Fd()), pieces)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		for _, piece := range pieces {
			part := min(n, len(piece))
			h.Write(piece[:part])
			n -= part
		}
	}
}

func hashByMmap(f *os.File, size int64, h hash.Hash) error {
	return hashMapped(f, size, h, unix.MAP_SHARED)
}

func hashByPrivateMmap(f *os.File, size int64, h hash.Hash) error {
	return hashMapped(f, size, h, unix.MAP_PRIVATE)
}

func hashMapped(f *os.File, size int64, h hash.Hash, flags int) error {
	if size == 0 {
		return nil // there is no empty map
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, flags)
	if err != nil {
		return err
	}
	h.Write(data)
	return unix.Munmap(data)
}

// hashBySendfile has the kernel move the bytes into a pipe.
func hashBySendfile(f *os.File, size int64, h hash.Hash) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	sent := make(chan error, 1)
	go func() {
		defer w.Close()
		for left := size; left > 0; {
			n, err := unix.Sendfile(int(w.Fd()), int(f.Fd()), nil, int(left))
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				sent <- err
				return
			}
			left -= int64(n)
		}
		sent <- nil
	}()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	return <-sent
}

// sums runs a helper that reads the files by the method, and returns their sums.
func sums(t *testing.T, method string, paths ...string) ([]string, error) {
	t.Helper()
	out, err := helperCommand(t, append([]string{method}, paths...)...).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.Fields(string(out)), err
}

// helperCommand is this binary as a helper with these arguments.
func helperCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(must[string](t)(os.Executable()), args...)
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	return cmd
}

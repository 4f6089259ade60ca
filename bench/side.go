package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// object is something to read: below a mount at path, in the store as version.
type object struct {
	path    string
	version objstore.Version
}

// side is one way to read objects, and how its CPU time is measured.
type side interface {
	// open makes an object readable. The raw client asks nothing of the store for it.
	open(o object) (reader, error)
	// list makes the names of a directory known.
	list(dir string) error
	// cpu is the process's CPU time where that is what counts, and else zero.
	cpu() time.Duration
	// thread runs a worker and returns its thread's CPU time where that is what counts.
	thread(work func()) time.Duration
}

// reader reads one object at any offset, from any number of goroutines. ReadAt fills p, or fails.
type reader interface {
	ReadAt(ctx context.Context, p []byte, off int64) error
	Close() error
}

// rawSide reads by GETs of exactly what is wanted.
type rawSide struct{ bucket objstore.Bucket }

func (s rawSide) open(o object) (reader, error) { return rawReader{s.bucket, o.version}, nil }
func (rawSide) list(string) error               { return nil }
func (rawSide) cpu() time.Duration              { return usage(unix.RUSAGE_SELF) }

func (rawSide) thread(work func()) time.Duration {
	work()
	return 0
}

type rawReader struct {
	bucket  objstore.Bucket
	version objstore.Version
}

func (r rawReader) ReadAt(ctx context.Context, p []byte, off int64) error {
	body, err := r.bucket.Open(ctx, r.version, objstore.Range{Off: off, Len: int64(len(p))})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.ReadFull(body, p)
	return err
}

func (rawReader) Close() error { return nil }

// fileSide reads files below a directory, a mount as the programs it is for do.
type fileSide struct {
	dir   string
	flags int // to open them with, beside O_RDONLY
}

func (s fileSide) open(o object) (reader, error) {
	path := filepath.Join(s.dir, o.path)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|s.flags, 0)
	if err != nil {
		return nil, fmt.Errorf("bench: open %s: %w", path, err)
	}
	return fileReader{fd, path}, nil
}

func (s fileSide) list(dir string) error {
	_, err := os.ReadDir(filepath.Join(s.dir, dir))
	return err
}

func (fileSide) cpu() time.Duration { return 0 }

func (fileSide) thread(work func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := usage(unix.RUSAGE_THREAD)
	work()
	return usage(unix.RUSAGE_THREAD) - before
}

// fileReader reads by plain system calls: an *os.File would ask the kernel to poll, which FUSE passes on to the daemon.
type fileReader struct {
	fd   int
	path string
}

func (r fileReader) ReadAt(ctx context.Context, p []byte, off int64) error {
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(r.fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("bench: read %s at %d: %w", r.path, off, err)
		case n == 0:
			return fmt.Errorf("bench: read %s at %d: %w", r.path, off, io.ErrUnexpectedEOF)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (r fileReader) Close() error { return unix.Close(r.fd) }

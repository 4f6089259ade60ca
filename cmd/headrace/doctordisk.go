package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// diskFacts are what matters of the disk that a cache is to be on.
type diskFacts struct {
	dir     string
	err     error // why nothing can be written there
	free    int64 // bytes
	size    int64
	memory  bool    // it is no disk
	written float64 // bytes a second, to the disk itself
	read    float64
}

const (
	// diskSample is how much is written and read, in bytes: enough to tell a disk from a network.
	diskSample = 256 * mib
	// slowDisk is the rate, in bytes a second, below which a network is faster.
	slowDisk = 500 * mib
)

// measureDisk writes a file beside where the cache is to be, reads it, and removes it.
func measureDisk(dir string) (f diskFacts) {
	f.dir = dir
	at := dir
	for { // the directory may have to be made yet
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			break
		}
		if at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var fs unix.Statfs_t
	if f.err = unix.Statfs(at, &fs); f.err != nil {
		return f
	}
	f.free, f.size = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	f.memory = fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC
	if f.free < 2*diskSample {
		return f
	}
	f.written, f.read, f.err = timeDisk(at)
	return f
}

// timeDisk gives the rates of writing and reading past the page cache. The file has no name, so that nothing is left of
// it.
func timeDisk(dir string) (written, read float64, err error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		fd, err = unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		return 0, 0, &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	file := os.NewFile(uintptr(fd), dir)
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer, err := unix.Mmap(-1, 0, 4*mib, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned as the disk wants it
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(buffer)) }()
	for i := range buffer {
		buffer[i] = byte(i * 7)
	}
	pass := func(move func([]byte, int64) (int, error), end func() error) (float64, error) {
		began := time.Now()
		for off := int64(0); off < diskSample; off += int64(len(buffer)) {
			if _, err := move(buffer, off); err != nil {
				return 0, err
			}
		}
		err := end()
		return diskSample / time.Since(began).Seconds(), err
	}
	if written, err = pass(file.WriteAt, file.Sync); err != nil {
		return 0, 0, err
	}
	read, err = pass(file.ReadAt, func() error { return nil })
	return written, read, err
}

// judgeDisk says what is to be thought of a disk.
func judgeDisk(f diskFacts) []finding {
	if f.err != nil {
		return []finding{{"cache disk", mistaken, fmt.Sprintf("%s cannot be used: %v", f.dir, f.err), "choose a directory that you may write to"}}
	}
	space := finding{"cache disk", fine, fmt.Sprintf("%s has %s free of %s", f.dir, sizeText(f.free), sizeText(f.size)), ""}
	switch {
	case f.memory:
		space.Severity, space.Advice = warned, "it is memory, not a disk: give --memory instead"
	case f.free < 2*diskSample, f.free < f.size/20:
		space.Severity, space.Advice = warned, "free some space: 5% of the disk are left alone (--cache-min-free)"
	}
	if f.written == 0 {
		return []finding{space}
	}
	speed := finding{"disk speed", fine, fmt.Sprintf("writes %s/s, reads %s/s", sizeText(int64(f.written)), sizeText(int64(f.read))), ""}
	if f.read < slowDisk {
		speed.Severity, speed.Advice = noted, "a fast network is faster than this: the cache saves requests rather than time"
	}
	return []finding{space, speed}
}

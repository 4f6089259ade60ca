package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// What can be wrong with a cache directory.
var (
	ErrInUse    = errors.New("another process uses the cache directory")
	ErrNotOurs  = errors.New("the cache directory belongs to another user")
	ErrTooOpen  = errors.New("other users can get into the cache directory")
	ErrNotEmpty = errors.New("the directory has files in it, and is not a cache directory")
	ErrNoHoles  = errors.New("the file system cannot give back a part of a file")
	ErrDamaged  = errIndex // told by OpenExisting alone
)

// A cache directory:
//
//	CACHE          says that it is one, and of which format; locked by its owner
//	index.db       see index.go
//	popularity     see popularity.go
//	data/00/...    data files, in 256 directories by the last byte of their numbers
//	trash/...      what is being removed
//	socket         see package share
const (
	markerFile     = "CACHE"
	markerText     = "This is a cache of headrace, format 1. It may be removed while nothing uses it.\n"
	indexFile      = "index.db"
	popularityFile = "popularity"
	dataDirectory  = "data"
	trashDirectory = "trash"
)

// directory is a cache directory that this process owns until close.
type directory struct {
	path   string
	lock   *os.File
	direct bool         // the file system does direct I/O
	trash  atomic.Int64 // bytes of the disk that what is to be removed has
}

// openDirectory makes path a cache directory if it is empty or missing and need not be one already, and takes it. Only
// the user who runs this may have access to it: it has what somebody's credentials were needed to read.
func openDirectory(path string, existing bool) (*directory, error) {
	d := &directory{path: path}
	if existing {
		if _, err := os.Stat(d.file(markerFile)); err != nil {
			return nil, fmt.Errorf("disk: %w", err)
		}
	} else if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	fresh, err := d.checkContent()
	if err != nil {
		return nil, err
	}
	if err := checkAccess(path, fresh); err != nil {
		return nil, err
	}
	if d.lock, err = os.OpenFile(d.file(markerFile), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if err := d.take(); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// Failed tells whether opening a directory failed by its disk, which may work again, and not by what was asked for: the
// directory is a cache already, or cannot even be looked at.
func Failed(dir string, err error) bool {
	if !isDiskError(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return false
	}
	_, err = os.Lstat(filepath.Join(dir, markerFile))
	return err == nil || isDiskError(err)
}

// checkAccess makes sure that nobody else gets in. A fresh directory is made so.
func checkAccess(path string, fresh bool) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("disk: %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("disk: %s: %w", path, syscall.ENOTDIR)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("disk: %s: %w", path, ErrNotOurs)
	case st.Mode&0o077 != 0 && fresh:
		if err := os.Chmod(path, 0o700); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
	case st.Mode&0o077 != 0:
		return fmt.Errorf("disk: %s has mode %#o: %w", path, st.Mode&0o777, ErrTooOpen)
	}
	return nil
}

// checkContent makes sure that nobody's files get mixed up with a cache's. fresh is a directory with nothing in it.
func (d *directory) checkContent() (fresh bool, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false, fmt.Errorf("disk: %w", err)
	}
	fresh, known := true, false
	for _, e := range entries {
		known = known || e.Name() == markerFile
		fresh = fresh && e.Name() == "lost+found"
	}
	if !fresh && !known {
		return false, fmt.Errorf("disk: %s: %w", d.path, ErrNotEmpty)
	}
	return fresh, nil
}

// take locks the directory for this process, and makes what must be in it.
func (d *directory) take() error {
	err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("disk: %s: %w", d.path, ErrInUse)
	} else if err != nil {
		return fmt.Errorf("disk: locking %s: %w", d.path, err)
	}
	marker := make([]byte, len(markerText)+1)
	n, _ := d.lock.ReadAt(marker, 0)
	if n == 0 {
		if _, err := d.lock.WriteAt([]byte(markerText), 0); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
	} else if string(marker[:n]) != markerText {
		return fmt.Errorf("disk: %s has another format: use another directory, or remove it: it says %q", d.path, strings.TrimSpace(string(marker[:n])))
	}
	for i := range 256 {
		if err := os.MkdirAll(filepath.Dir(d.dataFile(uint64(i))), 0o700); err != nil {
			return fmt.Errorf("disk: %w", err)
		}
	}
	if err := os.MkdirAll(d.file(trashDirectory), 0o700); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	d.direct = d.triesDirect()
	return d.triesHoles()
}

// weighTrash finds out how much is to be removed: something only after the index was lost.
func (d *directory) weighTrash() error {
	var bytes int64
	err := filepath.WalkDir(d.file(trashDirectory), func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += takes(info)
		}
		return err
	})
	d.trash.Store(bytes)
	return err
}

// takes is how many bytes of the disk a file has.
func takes(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// triesDirect finds out whether files here can be opened for direct I/O.
func (d *directory) triesDirect() bool {
	fd, err := unix.Open(d.path, unix.O_TMPFILE|unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// triesHoles finds out whether parts of files can be given back here, by one behind the end of the marker. Without that
// no limit could be kept.
func (d *directory) triesHoles() error {
	err := punchHole(d.lock, BlockSize, diskBlock)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("disk: %s: %w", d.path, ErrNoHoles)
	case err != nil:
		return fmt.Errorf("disk: %s: %w", d.path, err)
	}
	return nil
}

// works finds out whether the disk takes anything, by writing the marker again. EROFS from one that can only be read,
// ESTALE where the directory is not there any more, as after the file system was detached.
func (d *directory) works() error {
	ours, err := d.lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(d.file(markerFile)); errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(ours, there) {
		return syscall.ESTALE
	}
	if _, err = d.lock.WriteAt([]byte(markerText), 0); err == nil {
		err = unix.Fdatasync(int(d.lock.Fd()))
	}
	if !errors.Is(err, unix.EROFS) || !d.direct {
		return err
	}
	f, failed := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", d.lock.Fd()), os.O_RDONLY|syscall.O_DIRECT, 0)
	if failed != nil {
		return failed
	}
	defer func() { _ = f.Close() }() // read only
	if _, failed := f.ReadAt(aligned(make([]byte, BlockSize+diskBlock))[:diskBlock], 0); failed != nil && failed != io.EOF {
		return failed
	}
	return err
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// dataFile is where the bytes of the version with a number are.
func (d *directory) dataFile(id uint64) string {
	return filepath.Join(d.path, dataDirectory, fmt.Sprintf("%02x", byte(id)), fmt.Sprintf("%016x", id))
}

// discardData puts all data files out of the way, for the index does not know them. sweep removes them.
func (d *directory) discardData() error {
	for n := 0; ; n++ {
		to := filepath.Join(d.file(trashDirectory), fmt.Sprint(n))
		err := os.Rename(d.file(dataDirectory), to)
		if errors.Is(err, os.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
			continue
		}
		if err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		for i := range 256 {
			if err := os.MkdirAll(filepath.Dir(d.dataFile(uint64(i))), 0o700); err != nil {
				return fmt.Errorf("disk: %w", err)
			}
		}
		return nil
	}
}

// sweep removes what is in the trash, file by file and then the directories, until that is done or stop is closed.
func (d *directory) sweep(stop <-chan struct{}, crash func(step string)) error {
	trash, stopped := d.file(trashDirectory), false
	err := filepath.WalkDir(trash, func(path string, e os.DirEntry, err error) error {
		select {
		case <-stop:
			stopped = true
			return filepath.SkipAll
		default:
		}
		if err != nil || e.IsDir() {
			return err
		}
		crash("sweep")
		info, err := e.Info()
		if err == nil {
			err = os.Remove(path)
		}
		if err == nil {
			d.trash.Add(-takes(info))
		}
		return err
	})
	if err != nil || stopped {
		return err
	}
	d.trash.Store(0)
	left, err := os.ReadDir(trash)
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(trash, e.Name())))
	}
	return err
}

// close gives the directory up.
func (d *directory) close() error { return d.lock.Close() }

// syncDirectory has what was renamed or made in a directory last.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

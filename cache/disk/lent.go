package disk

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A leased data file is kept by a shared lock of its open file description, fcntl(2): it is handed on with the
// descriptor, lasts while anybody has that, in this process, in another or in the kernel, and so outlives the owner of
// the directory.

// lend opens a version's data file once more, for reading only.
func (f *dataFiles) lend(id uint64) (*os.File, error) {
	return os.OpenFile(f.dir.dataFile(id), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}

// lease is lend with the lock that keeps every block of the file.
func (f *dataFiles) lease(id uint64) (*os.File, error) {
	file, err := f.lend(id)
	if err != nil {
		return nil, err
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart} // all of the file
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// keeper tells whether somebody has a lease on a data file.
type keeper struct {
	file *os.File // nil where there is no file
}

// keeper opens a data file to ask, which must be closed.
func (f *dataFiles) keeper(id uint64) (keeper, error) {
	file, err := f.lend(id)
	if errors.Is(err, os.ErrNotExist) {
		return keeper{}, nil
	}
	return keeper{file}, err
}

// keeps tells whether there is a lease. That it cannot be known counts as one.
func (k keeper) keeps() bool {
	if k.file == nil {
		return false
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(k.file.Fd(), unix.F_OFD_GETLK, &lock)
	return err != nil || lock.Type != unix.F_UNLCK
}

func (k keeper) close() {
	if k.file != nil {
		_ = k.file.Close() // read only
	}
}

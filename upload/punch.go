package upload

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// punch gives the space of bytes of a file back to the disk: they read as zeros.
func punch(f *os.File, r objstore.Range) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.Off, r.Len)
}

// ignoreClosed is err, unless it says that the files were closed meanwhile.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

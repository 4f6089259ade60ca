package journal

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What can be wrong with a staging directory.
var (
	ErrInUse   = errors.New("another process uses the staging directory")
	ErrNotOurs = errors.New("the staging directory belongs to another user")
	ErrTooOpen = errors.New("other users can get into the staging directory")
)

// makeRoot makes sure that there is a directory for staging directories, which nobody else can put anything into. One
// that it makes, or that is empty, is for its owner alone.
func makeRoot(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if len(entries) == 0 {
		if err := ownedBySelf(path, 0); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return ownedBySelf(path, 0o022)
}

// ownedBySelf refuses what is no directory of this user's, or gives others the rights in forbidden.
func ownedBySelf(path string, forbidden uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("journal: %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("journal: %s: %w", path, syscall.ENOTDIR)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("journal: %s: %w", path, ErrNotOurs)
	case st.Mode&forbidden != 0:
		return fmt.Errorf("journal: %s has mode %#o: %w", path, st.Mode&0o777, ErrTooOpen)
	}
	return nil
}

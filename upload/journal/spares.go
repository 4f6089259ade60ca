package journal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxSpares bounds how many files wait to be used again: more than two for each of the small files that are written at
	// the same time.
	maxSpares = 128
	// maxReused is the size, in bytes, above which a file is removed when it is not needed any more: the room that it
	// takes is worth more than its inode, and there are few of them.
	maxReused = 1 << 20
)

// spares are empty files that belonged to uploads which are done, and become those of others. It is safe for concurrent
// use.
//
// Making and removing thousands of files is what file systems are bad at: ext4 gives no inode away in the seconds after
// its removal, 35 of them where its table is not on the disk yet, and passes over all such at each new file
// (recently_deleted in fs/ext4/ialloc.c). Small files came to 1.7 ms of CPU each for that, of 4.
type spares struct {
	mu    sync.Mutex // held over no system call
	names []string
}

func (s *spares) take() (name string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == 0 {
		return "", false
	}
	last := len(s.names) - 1
	name, s.names = s.names[last], s.names[:last]
	return name, true
}

// room tells whether another one may be given. Some that ask at the same time may all be told so, and there are a few
// more then.
func (s *spares) room() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names) < maxSpares
}

func (s *spares) give(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
}

// create makes an empty file of a name that is new.
func (d *Dir) create(name string) (*os.File, error) {
	if spare, ok := d.spares.take(); ok {
		if f, err := d.reuse(spare, name); err == nil {
			return f, nil
		}
		_ = os.Remove(d.file(spare)) // whatever is the matter with it: making a file says so too, if it is not just this one
	}
	f, err := os.OpenFile(d.file(name), os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return f, nil
}

func (d *Dir) reuse(spare, name string) (*os.File, error) {
	if err := d.rename(spare, name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.file(name), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, errors.Join(err, os.Remove(d.file(name)))
	}
	return f, nil
}

// discard takes a file away from its name, and closes it.
func (d *Dir) discard(f *os.File, name string) error {
	if !d.spares.room() || !reusable(f) {
		return errors.Join(os.Remove(d.file(name)), f.Close())
	}
	spare := newID() + spareSuffix
	if err := d.rename(name, spare); err != nil {
		return errors.Join(os.Remove(d.file(name)), f.Close())
	}
	// After the rename: an upload's file has all of its content, or is none. Given away closed: who still has f, as a
	// request that was broken off, gets no other's bytes.
	if err := errors.Join(f.Truncate(0), f.Close()); err != nil {
		return errors.Join(err, os.Remove(d.file(spare)))
	}
	d.spares.give(spare)
	return nil
}

// reusable tells whether a file is small and known by no other name, as that of a cache which has adopted it.
func reusable(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink == 1 && st.Blocks*512 <= maxReused
}

// rename gives a file of the directory another name, which is new.
func (d *Dir) rename(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, d.file(from), unix.AT_FDCWD, d.file(to), unix.RENAME_NOREPLACE)
}

// clearSpares removes the files that wait to be used again, also those of a process that is dead.
func (d *Dir) clearSpares() error {
	ids, err := d.names(spareSuffix)
	failures := []error{err}
	for _, id := range ids {
		failures = append(failures, os.Remove(d.file(id+spareSuffix)))
	}
	return errors.Join(failures...)
}

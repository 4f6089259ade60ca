package listings

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// savingDirectory is where listings are that are being written, each locked by who writes it, and savingPattern how
	// they are named.
	savingDirectory = "saving"
	savingPattern   = "saving-*"
	// reserveStep is in what pieces room is reserved for them, in bytes. A listing's file is as long as what is reserved
	// for it, until it is put in its place.
	reserveStep = 64 << 10
	// createTries bounds how often a file that was just made may be taken for left over before it is locked.
	createTries = 10
)

var (
	errChanged = errors.New("the directory was changed meanwhile")
	errFull    = errors.New("there is no room")
)

// saving is a listing that is being kept.
type saving struct {
	shelf  *Shelf
	foot   footer
	failed atomic.Bool // nothing more is taken

	// The writer's.
	file     *os.File
	size     int64
	reserved int64
	err      error // what has failed first
}

// Save begins to keep a directory's listing, before the store is asked for it. add takes blocks with the first and the
// last name of each, in any order, and is false when the listing is given up; end says that it is whole, or not to be
// kept. add and end are for one goroutine, and wait for nothing. Both are nil when nothing is kept.
func (h *Shelf) Save(dir string) (add func(first, last string, block []byte) bool, end func(whole bool)) {
	s := h.store
	if s.mend(); !h.keep || s.isVoid() || !s.works() || !s.writer.begin() {
		return nil, nil
	}
	v := &saving{shelf: h, foot: footer{owner: h.owner, dir: dir, reader: h.reader, boot: s.cfg.Boot, asked: s.cfg.Now(), uptime: s.cfg.Uptime()}}
	add = func(first, last string, block []byte) bool {
		place := blockPlace{size: int64(len(block)), sum: crc32.Checksum(block, castagnoli), first: first, last: last}
		if v.failed.Load() || !s.writer.enqueue(s, job{do: func() { s.append(v, place, block) }, size: place.size}) {
			v.failed.Store(true)
			return false
		}
		return true
	}
	end = func(whole bool) { s.writer.enqueue(s, job{do: func() { s.end(v, whole) }}) }
	return add, end
}

// write appends a block. At half of the limit a listing is too large.
func (v *saving) write(place blockPlace, block []byte) error {
	s := v.shelf.store
	if v.size+place.size > s.cfg.Limit/2 {
		return errFull
	}
	if v.file == nil {
		if err := v.create(); err != nil {
			return err
		}
	}
	if err := v.writeAtEnd(block); err != nil {
		return err
	}
	place.off = v.size
	v.foot.blocks = append(v.foot.blocks, place)
	v.size += place.size
	return nil
}

// writeAtEnd writes behind what was written, for which room is reserved first.
func (v *saving) writeAtEnd(b []byte) error {
	s := v.shelf.store
	step := min(reserveStep, onDisk(s.cfg.Limit/64))
	if lacking := v.size + int64(len(b)) - v.reserved; lacking > 0 {
		if err := v.reserve((lacking + step - 1) / step * step); err != nil {
			return err
		}
	}
	_, err := v.file.WriteAt(b, v.size)
	return err
}

// reserve has the file be longer by n bytes, within what all may take: others go for it.
func (v *saving) reserve(n int64) error {
	s := v.shelf.store
	for tries := 0; ; tries++ {
		over := false
		err := s.exclusively(true, func(st *state) error {
			if over = st.used+n > s.cfg.Limit; over {
				return nil
			}
			if err := v.file.Truncate(v.reserved + n); err != nil {
				return err
			}
			st.used += n
			v.reserved += n
			return nil
		})
		if err != nil || !over {
			return err
		}
		if tries > 0 { // those that are being written take it all
			return errFull
		}
		if err := s.shrink(n); err != nil {
			return err
		}
	}
}

// create makes the file, if the disk has room.
func (v *saving) create() (err error) {
	h := v.shelf
	saving := filepath.Join(h.store.dir(), savingDirectory)
	if err := errors.Join(h.store.makeDirectory(h.dir), h.store.makeDirectory(saving)); err != nil {
		return err
	}
	if !h.store.roomy() {
		return errFull
	}
	for range createTries {
		if v.file, err = os.CreateTemp(saving, savingPattern); err != nil {
			return err
		}
		if isLocked(v.file) {
			return nil
		}
		_ = v.file.Close()
		_ = os.Remove(v.file.Name())
		v.file = nil
	}
	return errFull
}

// isLocked takes a file for who writes it; false when somebody who looks for what is left has been quicker.
func isLocked(file *os.File) bool {
	var st unix.Stat_t
	return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Fstat(int(file.Fd()), &st) == nil && st.Nlink > 0
}

// roomy tells whether the file system has more free than the floor.
func (s *Store) roomy() bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &fs); err != nil {
		return false
	}
	floor := s.cfg.MinFree
	if floor <= 0 {
		floor = int64(fs.Blocks/20) * fs.Bsize
	}
	return int64(fs.Bavail)*fs.Bsize > floor
}

// finish puts the listing in its place, if it is whole and nothing has changed its directory since the store was asked.
// nil: it is kept.
func (v *saving) finish(whole bool) (err error) {
	h := v.shelf
	s := h.store
	defer func() {
		if err != nil {
			v.giveUp()
		}
	}()
	switch {
	case v.err != nil:
		return v.err
	case !whole || v.failed.Load():
		return errFull
	case s.isVoid():
		return errChanged
	}
	if v.file == nil {
		if err := v.create(); err != nil {
			return err
		}
	}
	foot := v.foot.bytes()
	if err := v.writeAtEnd(foot); err != nil {
		return err
	}
	size := v.size + int64(len(foot))
	if err := v.file.Truncate(size); err != nil {
		return err
	}
	if err := v.place(onDisk(size)); err != nil {
		return err
	}
	err = v.file.Close()
	v.file = nil
	if s.recount.Load() {
		s.done(s.shrink(0))
	}
	return err
}

// place has the file, which takes size bytes of the disk, be the directory's listing.
func (v *saving) place(size int64) error {
	h := v.shelf
	return h.store.exclusively(true, func(st *state) error {
		if st.changed[slotOf(h.owner, v.foot.dir)] >= v.foot.uptime {
			return errChanged
		}
		before := int64(0)
		if info, err := os.Lstat(h.file(v.foot.dir)); err == nil {
			before = onDisk(info.Size())
		}
		err := os.Rename(v.file.Name(), h.file(v.foot.dir))
		if errors.Is(err, os.ErrNotExist) { // somebody held it for left over
			return errFull
		} else if err != nil {
			return err
		}
		st.used = max(st.used+size-v.reserved-before, 0)
		v.reserved = 0
		return nil
	})
}

// giveUp removes what was written.
func (v *saving) giveUp() {
	if v.file == nil {
		return
	}
	_ = os.Remove(v.file.Name()) // else it goes when the directory is used next
	_ = v.file.Close()
	v.file = nil
	s := v.shelf.store
	_ = s.exclusively(false, func(st *state) error { // else too much is counted, until the next time that all are
		st.used = max(st.used-v.reserved, 0)
		return nil
	})
	v.reserved = 0
}

// isSaving tells whether a file is a listing that is being written.
func isSaving(path string) bool {
	ok, _ := filepath.Match(savingPattern, filepath.Base(path)) // the pattern is right
	return ok
}

// removeLeft removes a listing that was being written by a process that was killed, and tells whether it was one: its
// lock is gone.
func removeLeft(path string) (bool, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // it was put in its place, or given up
	} else if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }() // read only
	if !isLocked(file) {
		return false, nil
	}
	if err := os.Remove(path); errors.Is(err, os.ErrNotExist) { // it was put in its place before its lock was tried
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil // nobody can begin to write it meanwhile
}

// tidy removes what killed processes were writing.
func (s *Store) tidy() error {
	entries, err := os.ReadDir(filepath.Join(s.dir(), savingDirectory))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	failures := []error{err}
	for _, e := range entries {
		path := filepath.Join(s.dir(), savingDirectory, e.Name())
		left, err := removeLeft(path)
		failures = append(failures, err)
		if left { // how much was reserved for it is known to nobody
			s.recount.Store(true)
		}
	}
	return errors.Join(failures...)
}

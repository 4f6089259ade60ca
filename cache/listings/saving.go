package listings

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// savingPattern names a listing that is being written.
const savingPattern = "saving-*"

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
	file *os.File
	size int64
	err  error // what has failed first
}

// Save begins to keep a directory's listing, before the store is asked for it. add takes blocks with the first and the last name of each, in any order, and is false when the listing is given up; end says
// that it is whole, or not to be kept. add and end are for one goroutine, and wait for nothing. Both are nil when nothing is kept.
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
	if _, err := v.file.WriteAt(block, v.size); err != nil {
		return err
	}
	place.off = v.size
	v.foot.blocks = append(v.foot.blocks, place)
	v.size += place.size
	return nil
}

// create makes the file, if the disk has room.
func (v *saving) create() (err error) {
	h := v.shelf
	if err := h.store.makeDirectory(h.dir); err != nil {
		return err
	}
	if !h.store.roomy() {
		return errFull
	}
	v.file, err = os.CreateTemp(h.dir, savingPattern)
	return err
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

// finish puts the listing in its place, if it is whole and nothing has changed its directory since the store was asked. nil: it is kept.
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
	if _, err := v.file.WriteAt(foot, v.size); err != nil {
		return err
	}
	size := onDisk(v.size + int64(len(foot)))
	over := false
	err = s.exclusively(true, func(st *state) error {
		if st.changed[slotOf(h.owner, v.foot.dir)] >= v.foot.uptime {
			return errChanged
		}
		before := int64(0)
		if info, err := os.Lstat(h.file(v.foot.dir)); err == nil {
			before = onDisk(info.Size())
		}
		st.used += size // also if this process ends now: rather too much than too little
		err := os.Rename(v.file.Name(), h.file(v.foot.dir))
		if errors.Is(err, os.ErrNotExist) { // it took so long that somebody held it for left over
			st.used -= size
			return errFull
		} else if err != nil {
			return err
		}
		st.used = max(st.used-before, 0)
		over = st.used > s.cfg.Limit
		return nil
	})
	if err != nil {
		return err
	}
	err = v.file.Close()
	v.file = nil
	if over || s.recount.Load() {
		s.done(s.shrink())
	}
	return err
}

// giveUp removes what was written.
func (v *saving) giveUp() {
	if v.file != nil {
		_ = v.file.Close()
		_ = os.Remove(v.file.Name()) // else it goes when room is made
		v.file = nil
	}
}

// leftAfter is for how long a file that is being written may stand still: one that has is of a process that was killed.
const leftAfter = 10 * time.Minute

// isSaving tells whether a file is a listing that is being written.
func isSaving(path string) bool {
	ok, _ := filepath.Match(savingPattern, filepath.Base(path)) // the pattern is right
	return ok
}

package listings

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// settling is for how long after a change began, and after it was answered, what is being listed of its directory is
// not kept: who was killed meanwhile does not say when the store has done it.
const settling = time.Minute

// maxDoubted is of how many directories it is known at a time that their listings are about to be removed. With more,
// all are.
const maxDoubted = 4096

// Shelf has the listings of one bucket. Its methods may be called at the same time from many goroutines.
type Shelf struct {
	store  *Store
	owner  string
	dir    string
	reader uint64
	keep   bool

	mu      sync.Mutex     // guards doubted; not held across the disk
	doubted map[string]int // directories whose listings are about to be removed, by how often that was asked for
}

// Of gives the listings of a bucket of a store to who has the credentials that reader stands for. Without keep nothing
// is found or kept: changes are noted all the same, for those who keep.
func (s *Store) Of(endpoint, bucket string, reader uint64, keep bool) *Shelf {
	owner := endpoint + "\x00" + bucket
	name := sha256.Sum256([]byte(owner))
	shelf := &Shelf{store: s, owner: owner, dir: filepath.Join(s.dir(), fmt.Sprintf("%x", name[:8])), reader: reader, keep: keep, doubted: make(map[string]int)}
	if keep {
		// The state is made before the first listing is asked for, which is refused else. Where that cannot be, changes may
		// not have been noted either.
		if err := s.doWithin(func() error { return s.exclusively(true, func(*state) error { return nil }) }); err != nil {
			s.unnoted(err)
		}
		s.tidied.Do(func() { s.writer.enqueue(s, job{do: func() { s.done(s.tidy()) }}) })
	}
	return shelf
}

func (h *Shelf) file(dir string) string {
	name := sha256.Sum256([]byte(dir))
	return filepath.Join(h.dir, fmt.Sprintf("%x", name[:16]))
}

// Load finds what is kept of a directory, and has use take its blocks, in their order, until it is false: all of them,
// or those that may have a name. may is asked first, with the moment at which the store was asked, and whether that was
// with other credentials. found is false when there is nothing, or may says no, and then use was not called. The error
// is that it is damaged from some block on.
func (h *Shelf) Load(dir, name string, may func(asked time.Time, stranger bool) bool, use func(block []byte) bool) (found bool, err error) {
	if h.open(dir, func(file *os.File, f *footer) error {
		asked, ok := h.askedAt(f)
		if !ok || !may(asked, f.reader != h.reader) {
			return nil
		}
		found = true
		used := false
		for _, place := range f.blocks {
			if !place.has(name) {
				continue
			}
			block, failed := within(h.store, h.store.cfg.Patience, func() ([]byte, error) { return place.read(file) }, func([]byte) {})
			if failed != nil {
				found, err = used, failed
				return failed
			}
			if used = true; !use(block) {
				break
			}
		}
		return nil
	}); found {
		h.store.stats.hits.Add(1)
		return true, err
	}
	h.store.stats.misses.Add(1)
	return false, nil
}

// openListing is a listing's file that was opened to be read.
type openListing struct {
	file *os.File
	foot *footer
}

func (o openListing) close() {
	if o.file != nil {
		_ = o.file.Close() // read only
	}
}

// openFile opens a directory's listing. What is there is damaged where that fails with a file.
func (h *Shelf) openFile(dir string) (openListing, error) {
	file, err := os.OpenFile(h.file(dir), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return openListing{}, err
	}
	info, err := file.Stat()
	if err == nil {
		err = checkWritable(file)
	}
	if err != nil {
		return openListing{}, errors.Join(err, file.Close())
	}
	foot, err := readFooter(file, info.Size())
	if err != nil { // nil is what is damaged
		foot = nil
	}
	return openListing{file, foot}, nil
}

// open calls f with a listing's file, if there is one. One that is damaged, which f says with an error, is removed.
func (h *Shelf) open(dir string, f func(*os.File, *footer) error) {
	s := h.store
	if s.mend(); !h.keep || s.isVoid() || !s.works() || h.isDoubted(dir) {
		return
	}
	o, err := within(s, s.cfg.Patience, func() (openListing, error) { return h.openFile(dir) }, openListing.close)
	switch {
	case errors.Is(err, syscall.EROFS): // changes cannot be noted any more, by nobody who has the directory
		s.unnoted(err)
		return
	case errors.Is(err, os.ErrNotExist):
		return
	case err != nil:
		s.done(err)
		return
	}
	defer o.close()
	if o.foot != nil {
		if o.foot.owner != h.owner || o.foot.dir != dir {
			return // another directory of the same hash
		}
		if err = f(o.file, o.foot); err == nil {
			return
		}
		if errors.Is(err, errHung) {
			s.done(err)
			return
		}
	}
	s.stats.corrupt.Add(1)
	s.cfg.Log.Warn("a kept list of names is damaged, and is asked from the store again", "file", o.file.Name())
	h.Doubt(dir)
}

// askedAt is when the store was asked for a listing, by the clock as it is now; false when nobody can tell. Where the
// machine has not been started since, no setting of the clock makes it younger.
func (h *Shelf) askedAt(f *footer) (time.Time, bool) {
	now := h.store.cfg.Now()
	age := now.Sub(f.asked)
	if f.boot == h.store.cfg.Boot {
		passed := h.store.cfg.Uptime() - f.uptime
		if passed < 0 {
			return time.Time{}, false
		}
		age = max(age, passed)
	}
	return now.Add(-age), age >= 0
}

func (h *Shelf) isDoubted(dir string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doubted[dir] > 0
}

// Doubt has what is kept of a directory not be found any more: something in it was seen to be otherwise. It waits for
// nothing.
func (h *Shelf) Doubt(dir string) {
	h.mu.Lock()
	if h.doubted[dir] > 1 { // one is about to be done, and at most one other has begun
		h.mu.Unlock()
		return
	}
	h.doubted[dir]++
	many := len(h.doubted) > maxDoubted
	h.mu.Unlock()
	if many {
		h.store.voids.Add(1)
	}
	if h.store.mend(); !h.store.writer.enqueue(h.store, job{do: func() { h.remove(0, dir); h.settled(dir) }}) {
		h.settled(dir) // closed
	}
}

// settled notes that one doubt was dealt with.
func (h *Shelf) settled(dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.doubted[dir]--; h.doubted[dir] <= 0 {
		delete(h.doubted, dir)
	}
}

// Changing notes that a key is about to be changed, or just was: what is kept of its directory and those above it is
// gone, durably, when this returns, and what is being listed of them now or in the next minute will not be kept. Who
// changes a key calls it before and after.
func (h *Shelf) Changing(keys ...string) {
	var dirs []string
	for _, key := range keys {
		for i := range len(key) {
			if key[i] == '/' {
				dirs = append(dirs, key[:i+1])
			}
		}
	}
	h.remove(settling, append(dirs, "")...)
}

// remove removes the listings of directories, and has those that are asked for within a time not be kept.
func (h *Shelf) remove(settling time.Duration, dirs ...string) {
	s := h.store
	if s.mend(); s.isVoid() {
		s.voids.Add(1) // all are removed before any is used, also those that a removal under way does not see
		return
	}
	err := s.doWithin(func() error { return h.removeNow(settling, dirs) })
	switch {
	case errors.Is(err, os.ErrNotExist) && !h.keep: // nobody keeps anything here
	case err != nil:
		s.unnoted(err)
	}
}

func (h *Shelf) removeNow(settling time.Duration, dirs []string) error {
	s := h.store
	removed := false
	err := s.exclusively(h.keep, func(st *state) error {
		refused := s.cfg.Uptime() + settling
		for _, dir := range dirs {
			slot := slotOf(h.owner, dir)
			st.changed[slot] = max(st.changed[slot], refused)
			size, err := h.unlink(dir)
			if err != nil {
				return err
			}
			removed, st.used = removed || size > 0, max(st.used-size, 0)
		}
		return nil
	})
	if errors.Is(err, errBusy) { // what others find goes all the same; what they are about to keep does not
		for _, dir := range dirs {
			size, failed := h.unlink(dir)
			removed, err = removed || size > 0, errors.Join(err, failed)
		}
	}
	if removed { // or it were there again after a loss of power
		err = errors.Join(err, syncDirectory(h.dir))
	}
	return err
}

// unlink removes a directory's listing, if there is one, and says how much of the disk it took.
func (h *Shelf) unlink(dir string) (size int64, err error) {
	info, err := os.Lstat(h.file(dir))
	if err == nil {
		size, err = onDisk(info.Size()), os.Remove(h.file(dir))
	}
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return size, err
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package listings

import (
	"errors"
	"sync"
	"time"
)

// maxSavings is how many listings may be being kept at once, each with a file.
const maxSavings = 64

// job is something for the writer to do.
type job struct {
	do   func()
	size int64 // bytes of memory that wait with it; 0 for what there is little of: as many as there are listings being kept, and directories in doubt
}

// writer is the one goroutine of a process that writes listings.
type writer struct {
	mu      sync.Mutex // guards what follows
	queue   []job
	queued  int64 // bytes of blocks
	savings int
	running bool
	closed  bool

	wake chan struct{} // holds one
	done chan struct{} // closed when the goroutine has ended

	open map[*saving]bool // the goroutine's: those of which something was written
}

// begin takes one of the places for listings that are being kept; end gives it back.
func (w *writer) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.savings >= maxSavings || w.closed {
		return false
	}
	w.savings++
	return true
}

// enqueue has a job be done; false when it will not be: there is no room for what it has, or the store is closed.
func (w *writer) enqueue(s *Store, j job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || j.size > 0 && w.queued+j.size > s.cfg.Queue {
		return false
	}
	w.queued += j.size
	w.queue = append(w.queue, j)
	if !w.running {
		w.running, w.done, w.open = true, make(chan struct{}), make(map[*saving]bool)
		go s.write(w.done)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// next waits for jobs; none when the writer is closed and all is done. While a change is not noted, removing what is
// there is one of them from time to time.
func (w *writer) next(s *Store) []job {
	for {
		w.mu.Lock()
		jobs, closed := w.queue, w.closed
		w.queue = nil
		w.mu.Unlock()
		if len(jobs) > 0 || closed {
			return jobs
		}
		if !s.isVoid() {
			<-w.wake
			continue
		}
		select {
		case <-w.wake:
		case <-time.After(rest):
			s.mend()
		}
	}
}

// close has what is queued be done, and waits for that, but not for ever.
func (w *writer) close(patience time.Duration) {
	w.mu.Lock()
	w.closed = true
	done := w.done
	w.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-done:
	case <-time.After(patience):
	}
}

// write does what is queued until the store is closed. Listings that were never ended go then.
func (s *Store) write(done chan struct{}) {
	defer close(done)
	for jobs := s.writer.next(s); len(jobs) > 0; jobs = s.writer.next(s) {
		for _, j := range jobs {
			j.do()
			s.writer.mu.Lock()
			s.writer.queued -= j.size
			s.writer.mu.Unlock()
		}
	}
	for v := range s.writer.open {
		v.giveUp()
	}
}

// append writes a block, unless the listing was given up.
func (s *Store) append(v *saving, place blockPlace, block []byte) {
	if v.failed.Load() {
		return
	}
	s.writer.open[v] = true
	if v.err = v.write(place, block); v.err != nil {
		v.failed.Store(true)
	}
}

// end puts a listing in its place, or removes what there is of it.
func (s *Store) end(v *saving, whole bool) {
	if err := v.finish(whole); err == nil {
		s.stats.kept.Add(1)
		s.done(nil)
	} else if whole {
		s.skipped(err)
	}
	delete(s.writer.open, v)
	s.writer.mu.Lock()
	s.writer.savings--
	s.writer.mu.Unlock()
}

// skipped counts a listing that was not kept.
func (s *Store) skipped(err error) {
	s.stats.skipped.Add(1)
	if !errors.Is(err, errChanged) && !errors.Is(err, errFull) {
		s.done(err)
	}
}

// remedy removes all listings, where a change could not be noted.
func (s *Store) remedy() error {
	s.mending.Store(false)
	before := s.voids.Load()
	err := s.purge()
	if err == nil {
		s.voids.CompareAndSwap(before, 0) // else one more was not noted meanwhile, and all is removed again
	}
	return err
}

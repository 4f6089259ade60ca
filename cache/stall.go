package cache

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// diskPatience is how long one call to the disk may take. One that works answers in milliseconds, one that is busy
	// with what others sync in some seconds; and no training job notices ten that pass once.
	diskPatience = 10 * time.Second
	// diskRest is for how long the disk is left alone after it answers again: one that is slow for each call would cost
	// its patience each time.
	diskRest = 15 * time.Second
	// closePatience is how long the disk may take to close: what it is writing, and a last commit, are several calls.
	closePatience = 3 * diskPatience
)

var (
	errAside    = errors.New("cache: the disk did not answer in time") // never leaves the package
	errUnclosed = errors.New("cache: closed while the disk does not end what it is writing")
)

// stall knows whether calls to the disk are without an answer: its controller resets, or the server of a network disk
// is gone. A thread that the kernel has wait for such a disk cannot be called back, by no signal, and may write to the
// memory it was given at any time. So who waits for it is sent elsewhere, and the memory is set aside until the call
// returns.
type stall struct {
	log *slog.Logger

	mu    sync.Mutex // guards what is below
	left  int        // calls that were not answered in time, and are not yet
	total int64      // of these so far
	until time.Time  // when the disk is asked again, once none is left
}

// lasts tells whether the disk is to be left alone.
func (s *stall) lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left > 0 || time.Now().Before(s.until)
}

// out is how many calls were not answered in time, and are not yet.
func (s *stall) out() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

func (s *stall) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

func (s *stall) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if s.left++; s.left == 1 && s.until.IsZero() {
		s.log.Warn("the cache disk does not answer; reads go on from the store", "after", diskPatience)
	}
	s.until = time.Now().Add(diskRest)
}

func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(diskRest)
	if s.left--; s.left == 0 {
		s.log.Info("the cache disk has answered all calls; it is asked again", "after", diskRest)
	}
}

// await makes a call to the disk. When it takes longer than diskPatience, late is called, once; then inTime is false
// whenever the call returns, and what it gave is to be given up.
func (s *stall) await(call, late func()) (inTime bool) {
	var decided atomic.Bool
	timer := time.AfterFunc(diskPatience, func() {
		if !decided.Swap(true) {
			s.begin()
			late()
		}
	})
	call()
	timer.Stop()
	if decided.Swap(true) {
		s.end()
		return false
	}
	return true
}

// ask is await for who has nothing else to do meanwhile: ok is false when there was no answer in time, and the one that
// comes late is given to drop.
func ask[T any](s *stall, call func() T, drop func(T)) (answer T, ok bool) {
	if s.lasts() {
		return answer, false
	}
	type answered struct {
		answer T
		ok     bool
	}
	out := make(chan answered, 1)
	go func() {
		var a T
		if s.await(func() { a = call() }, func() { out <- answered{} }) {
			out <- answered{a, true}
		} else {
			drop(a)
		}
	}()
	in := <-out
	return in.answer, in.ok
}

// closeDisk closes the disk, which no fill uses any more; what waits to be written is let go. errUnclosed is that it
// still writes, from our memory, which nobody can end: the process leaves that behind.
func (c *Cache) closeDisk() error {
	closed := make(chan error, 1)
	go func() { closed <- c.disk.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closePatience):
		return errUnclosed
	}
}

// setAside takes a chunk out of reach whose fill waits for the disk: its readers start anew, with other memory, and its
// own is freed when the last fill and the last reader have let go of it.
func (c *Cache) setAside(f *fill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := f.chunk
	if !slices.Contains(k.fills, f) { // the call has returned just now
		return
	}
	if !k.aside.Swap(true) {
		c.forget(k)
		c.asides[k] = struct{}{}
	}
	k.fail(f.rest(), errAgain)
	f.end = min(f.end, (f.pos/blockSize+1)*blockSize) // the disk is asked for one block at a time, and writes to no other
	k.unread.Store(0)
	c.cancelUnwanted(k)
	c.bury(k)
	c.serveNext()
	f.leave()
}

// bury frees what was set aside, once nobody uses it. Before that it frees all that nobody reads or fills: a disk may
// hang under many fills, and readers need memory.
func (c *Cache) bury(k *chunk) {
	if _, here := c.asides[k]; !here {
		return
	}
	if k.pins.Load() == 0 { // and nobody can come to it
		if len(k.fills) == 0 {
			delete(c.asides, k)
			c.free(k)
			return
		}
		c.stats.BytesHeld -= int64(k.present.bytes())
		k.present = nil
	}
	if k.slot != nil {
		c.arena.drop(k.slot, k.slot.blocks()&^k.coming().blocks())
	}
}

package prefetch

import (
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

// work brings files one after another while more are wanted and there is room. Each time it is the turn of the
// directory that has the fewest under way, so that a large one does not keep the others from having any.
func (s *Siblings) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := s.now()
		d := s.turn(now)
		if d == nil {
			break
		}
		if v, id, ok := s.next(d, now); ok {
			s.bring(d, v, id)
			continue
		}
		s.mu.Unlock() // whoever opens a file meanwhile need not wait until a long listing is looked through
		s.mu.Lock()
	}
	s.working--
}

// turn is the directory of which a file is to be brought now, nil when none wants any. The caller holds mu.
func (s *Siblings) turn(now time.Time) (next *openedDirectory) {
	if s.closed {
		return nil
	}
	for _, d := range s.dirs {
		if (next == nil || len(d.pending) < len(next.pending)) && d.wants(now) {
			next = d
		}
	}
	return next
}

// wants tells whether to look for another file to bring.
func (d *openedDirectory) wants(now time.Time) bool {
	return d.upcoming != nil && !d.done && (!d.full || d.retry) && d.want(now) > 0
}

// next is the file to bring now; false when it was not found among as many names as are looked at in one go. The caller
// holds mu.
func (s *Siblings) next(d *openedDirectory, now time.Time) (v objstore.Version, id fileID, ok bool) {
	if len(d.queue) == 0 {
		var more bool
		d.queue, more = d.upcoming.Next(siblingsBatch)
		d.done = len(d.queue) == 0 && !more
	}
	for len(d.queue) > 0 {
		v, d.queue = d.queue[0], d.queue[1:]
		if id = s.id(v); v.Size > 0 && v.Size <= maxSibling && d.ask(id, now) {
			return v, id, true
		}
	}
	return v, 0, false
}

// bring brings one file. The caller holds mu, which is let go meanwhile.
func (s *Siblings) bring(d *openedDirectory, v objstore.Version, id fileID) {
	c := &coming{ticket: objstore.NewTicket(objstore.ClassPrefetch), over: make(chan struct{})}
	d.pending[id], d.retry = c, false
	s.mu.Unlock()
	asked, full, err := s.source.FetchSpare(objstore.WithTicket(d.life, c.ticket), v)
	s.mu.Lock()
	delete(d.pending, id)
	if d.life.Err() == nil { // else it was given up, which is nothing the store has said
		c.err = err
	}
	close(c.over)
	d.full = full
	switch {
	case full:
		d.unasked(id, true)
		d.queue = slices.Insert(d.queue, 0, v) // a reader in order comes to it first
		d.done = false
	case !asked:
		d.unasked(id, false)
	case err != nil:
		d.drop(id)
	}
}

// SiblingsStats are totals, in files.
type SiblingsStats struct {
	Asked  int64 // brought ahead of their opening
	Used   int64 // of these, opened afterwards
	Wasted int64 // of these, never to be opened as far as is known
}

func (t *SiblingsStats) add(d *siblings) {
	t.Asked, t.Used, t.Wasted = t.Asked+d.asked, t.Used+d.used, t.Wasted+d.wasted
}

// Stats is a snapshot.
func (s *Siblings) Stats() SiblingsStats {
	if s == nil {
		return SiblingsStats{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.gone
	for _, d := range s.dirs {
		t.add(d.siblings)
	}
	return t
}

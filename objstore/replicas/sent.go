package replicas

import (
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

// maxSent is of how many versions it is known when a copy was last read, at most.
const maxSent = 10 * maxManifests

// sent remembers when a copy of each version was asked last. The zero value is ready.
type sent struct {
	mu        sync.Mutex // guards what follows
	last      map[objstore.Version]time.Time
	forgotten time.Time // what was sent before may be unknown
}

func (s *sent) note(v objstore.Version, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || len(s.last) >= maxSent {
		if s.last != nil {
			s.forgotten = at
		}
		s.last = make(map[objstore.Version]time.Time)
	}
	if at.After(s.last[v]) {
		s.last[v] = at
	}
}

// since tells whether a copy of v was asked at a time or later; yes where that is not known any more.
func (s *sent) since(v objstore.Version, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.last[v]
	return ok && !last.Before(at) || !s.forgotten.IsZero() && !at.After(s.forgotten)
}

package fs

import (
	"sync"
	"time"
)

const (
	// secondTry is how long after ESTALE a lookup is taken for the kernel's second try. It comes at once; a second covers a
	// busy machine.
	secondTry = time.Second

	// maxSecondTries bounds what is remembered; it need cover only the names that are found out at the same time.
	maxSecondTries = 4096
)

// secondTries are the names for which the kernel was told ESTALE a moment ago. It forgives that once: it looks the name up
// again and goes on, and a second ESTALE reaches the program. So what follows that lookup is answered by what the lookup
// heard: a name that changes all the time would otherwise fail a program that did nothing but look at it.
type secondTries struct {
	mu    sync.Mutex // guards names
	names map[childName]expected
}

// expected is how many lookups of one name are the second try of somebody.
type expected struct {
	lookups int
	since   time.Time // of the last ESTALE
}

// expect notes that somebody was told ESTALE.
func (s *secondTries) expect(at childName, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) >= maxSecondTries {
		for name, e := range s.names {
			if now.Sub(e.since) >= secondTry {
				delete(s.names, name)
			}
		}
		if len(s.names) >= maxSecondTries {
			clear(s.names)
		}
	}
	if s.names == nil {
		s.names = make(map[childName]expected)
	}
	s.names[at] = expected{s.names[at].lookups + 1, now}
}

// take tells whether a lookup is somebody's second try. Each ESTALE has one.
func (s *secondTries) take(at childName, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.names[at]
	if !ok {
		return false
	}
	if e.lookups--; e.lookups == 0 || now.Sub(e.since) >= secondTry {
		delete(s.names, at)
	} else {
		s.names[at] = e
	}
	return now.Sub(e.since) < secondTry
}

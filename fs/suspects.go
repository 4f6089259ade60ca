package fs

import (
	"sync"
	"time"
)

const (
	// suspicion is how long a name that was found to mean something else is not answered from memory. The kernel looks it up
	// again at once; a second covers a busy machine.
	suspicion = time.Second

	// maxSuspects bounds what is remembered; it need cover only the names that are found out at the same time.
	maxSuspects = 4096
)

// suspects are the names for which the kernel was told ESTALE a moment ago. It forgives that once: it looks the name up
// again and goes on, and a second ESTALE reaches the program. So the second lookup is answered by the store alone.
type suspects struct {
	mu    sync.Mutex // guards names
	names map[suspect]time.Time
}

type suspect struct {
	parent uint64 // node id
	name   string
}

// add notes that a name was found to mean something else.
func (s *suspects) add(parent uint64, name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) >= maxSuspects {
		for k, since := range s.names {
			if now.Sub(since) >= suspicion {
				delete(s.names, k)
			}
		}
		if len(s.names) >= maxSuspects {
			clear(s.names)
		}
	}
	if s.names == nil {
		s.names = make(map[suspect]time.Time)
	}
	s.names[suspect{parent, name}] = now
}

// recent tells whether that was a moment ago.
func (s *suspects) recent(parent uint64, name string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == 0 {
		return false
	}
	k := suspect{parent, name}
	since, ok := s.names[k]
	if ok && now.Sub(since) >= suspicion {
		delete(s.names, k)
		ok = false
	}
	return ok
}

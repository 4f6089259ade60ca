package fs

import "sync"

// handles are what is open, under the numbers by which the kernel calls them. Numbers are not used twice.
type handles[T any] struct {
	mu   sync.RWMutex // guards everything below
	last uint64
	open map[uint64]T
}

// add opens h.
func (s *handles[T]) add(h T) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[uint64]T)
	}
	s.last++
	s.open[s.last] = h
	return s.last
}

// get finds what is open under a number.
func (s *handles[T]) get(number uint64) (h T, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok = s.open[number]
	return h, ok
}

// remove closes a number.
func (s *handles[T]) remove(number uint64) (h T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok = s.open[number]
	delete(s.open, number)
	return h, ok
}

// removeAll closes all numbers.
func (s *handles[T]) removeAll() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []T
	for _, h := range s.open {
		all = append(all, h)
	}
	clear(s.open)
	return all
}

func (s *handles[T]) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.open)
}

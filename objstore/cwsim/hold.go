package cwsim

import (
	"net/http"
	"slices"
)

// hold is what some requests wait for.
type hold struct {
	match    func(Request) bool
	released chan struct{}
}

// Hold has the requests that match wait, once they are among [Store.Requests], until release is called or their client
// goes. So a test that wants to do something in the middle of a program's work need not be faster than the program.
// match is called by many at once.
func (s *Store) Hold(match func(Request) bool) (release func()) {
	h := &hold{match: match, released: make(chan struct{})}
	s.mu.Lock()
	s.holds = append(s.holds, h)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if at := slices.Index(s.holds, h); at >= 0 {
			s.holds = slices.Delete(s.holds, at, at+1)
			close(h.released)
		}
	}
}

// awaitHolds waits for what holds a request, and tells whether its client has.
func (s *Store) awaitHolds(q Request, r *http.Request) bool {
	s.mu.Lock()
	holds := slices.Clone(s.holds)
	s.mu.Unlock()
	for _, h := range holds {
		if !h.match(q) {
			continue
		}
		if !takeBody(r) {
			return false
		}
		select {
		case <-h.released:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

package main

import (
	"sync"
	"time"
)

const (
	// troubleAfter is how long a request must have failed before an operator should hear of it: a store that throttles for
	// a moment is everyday life.
	troubleAfter = 5 * time.Second
	// troubleEvery is how often it is said while it lasts.
	troubleEvery = 30 * time.Second
)

// trouble decides when to say that the store fails requests. It may be used from several goroutines.
type trouble struct {
	mu   sync.Mutex // guards said
	said time.Time  // when it was last said
}

// report tells whether to say it now, of a request that has failed for so long.
func (t *trouble) report(failing time.Duration, now time.Time) bool {
	if failing < troubleAfter {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.said.IsZero() && now.Sub(t.said) < troubleEvery {
		return false
	}
	t.said = now
	return true
}

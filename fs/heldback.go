package fs

import (
	"sync"
	"time"
)

// heldBackFor is how long a line of the log that would say the same again is held back. A credential that expires fails
// every request of every program at once.
const heldBackFor = time.Minute

// heldBack lets one of many equal lines through in a while, and counts the others. Its zero value lets the first one
// through.
type heldBack struct {
	mu   sync.Mutex // guards what is below
	last time.Time
	held uint64
}

// due tells whether a line may be written now, and how many were held back since the last one.
func (h *heldBack) due(now time.Time) (held uint64, due bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.last.IsZero() && now.Sub(h.last) < heldBackFor {
		h.held++
		return 0, false
	}
	held, h.held, h.last = h.held, 0, now
	return held, true
}

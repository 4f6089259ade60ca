package fs

import (
	"testing"
	"time"
)

// Of lines that say the same, one is written in a minute, and says how many were not.
func TestHeldBack(t *testing.T) {
	var h heldBack
	start := time.Unix(1_700_000_000, 0)
	for _, step := range []struct {
		after time.Duration
		held  uint64
		due   bool
	}{
		{0, 0, true},
		{time.Millisecond, 0, false},
		{59 * time.Second, 0, false},
		{60 * time.Second, 2, true},
		{61 * time.Second, 0, false},
		{200 * time.Second, 1, true},
		{400 * time.Second, 0, true},
	} {
		if held, due := h.due(start.Add(step.after)); held != step.held || due != step.due {
			t.Errorf("after %v: %d, %v; should be %d, %v", step.after, held, due, step.held, step.due)
		}
	}
}

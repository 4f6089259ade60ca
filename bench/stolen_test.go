package bench

import (
	"testing"
	"time"
)

// The host's share is read from the line of all processors, and is one of those there are.
func TestStolen(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"cpu  70 0 372 5 4 0 34 133 0 0\n": 1330 * time.Millisecond,
		"cpu  70 0 372 5 4 0 34\n":         0, // a kernel that does not tell
		"cpu0 70 0 372 5 4 0 34 133 0 0\n": 0,
		"cpu  70 0 372 5 4 0 34 x 0 0\n":   0,
		"":                                 0,
	} {
		if got := stolenOf(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
	if got := (measured{elapsed: 2 * time.Second, stolen: time.Second}).stolenShare(2); got != 0.25 {
		t.Errorf("a share of %v, want 0.25", got)
	}
}

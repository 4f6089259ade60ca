package bench

import (
	"testing"
	"time"
)

// What the processors did is read from the line of all of them, and is a part of what those there are could do.
func TestProcessors(t *testing.T) {
	for line, want := range map[string]processors{
		"cpu  70 0 372 5 4 0 34 133 0 0\n": {90 * time.Millisecond, 1330 * time.Millisecond},
		"cpu  70 0 372 5 4 0 34\n":         {90 * time.Millisecond, 0}, // a kernel that does not tell what was stolen
		"cpu0 70 0 372 5 4 0 34 133 0 0\n": {},
		"cpu  70 0 372 x 4 0 34 x 0 0\n":   {idle: 40 * time.Millisecond},
		"":                                 {},
	} {
		if got := processorsOf(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
	m := measured{elapsed: 2 * time.Second, processors: processors{idle: 3 * time.Second, stolen: time.Second}}
	if stolen, busy := m.stolenShare(2), m.busyShare(2); stolen != 0.25 || busy != 0.25 {
		t.Errorf("shares of %v and %v, want 0.25 both", stolen, busy)
	}
	if busy := (measured{}).busyShare(2); busy != 0 {
		t.Errorf("what was not measured was busy: %v", busy)
	}
}

package fs

import (
	"fmt"
	"testing"
	"time"
)

// A name is suspect for a second after it was found out, and no more are remembered than the limit.
func TestSuspects(t *testing.T) {
	var s suspects
	start := time.Unix(1_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	if s.recent(1, "a", at(0)) {
		t.Error("suspect before anything was found out")
	}
	s.add(1, "a", at(0))
	if !s.recent(1, "a", at(suspicion-1)) || s.recent(2, "a", at(0)) || s.recent(1, "b", at(0)) {
		t.Error("not the name that was added, and only that, for as long as it should be")
	}
	if s.recent(1, "a", at(suspicion)) || len(s.names) != 0 {
		t.Error("still suspect after its time")
	}
	for i := range 3 * maxSuspects {
		s.add(1, fmt.Sprint(i), at(time.Duration(i)*time.Millisecond))
		if len(s.names) > maxSuspects {
			t.Fatalf("%d are remembered", len(s.names))
		}
	}
}

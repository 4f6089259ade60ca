package fs

import (
	"math/rand/v2"
	"testing"
)

// TestIOState: never two modes at once, whatever comes.
func TestIOState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	var s ioState
	open := map[ioMode]int{}
	for range 10_000 {
		switch n := rnd.IntN(3); {
		case n < 2:
			whole := n == 1
			mode, fresh := s.open(whole)
			switch {
			case fresh && (!whole || open[ioCached] == 0):
				t.Fatalf("another node is asked for with %v open and whole %v", open, whole)
			case fresh && rnd.IntN(2) == 0:
				mode = s.openCached()
			case fresh:
				continue
			case mode == ioPassthrough && !whole && open[ioPassthrough] == 0:
				t.Fatal("passes through to nothing")
			case mode == ioCached && whole:
				t.Fatal("cached although it could pass through")
			}
			open[mode]++
		case open[s.mode] > 0:
			mode := s.mode
			open[mode]--
			if last := s.close(); last != (open[mode] == 0) {
				t.Fatalf("last: %v, open: %v", last, open)
			}
		}
		if open[ioNone] > 0 || open[ioCached] > 0 && open[ioPassthrough] > 0 {
			t.Fatalf("open: %v", open)
		}
	}
}

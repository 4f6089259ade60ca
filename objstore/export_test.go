package objstore

import (
	"errors"
	"fmt"
	"time"
)

// Check tests the gate's invariants, for the tests of package objstore_test.
func (g *Gate) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Since(g.born)
	sum := 0
	for c := range g.queues {
		sum += g.inUse[c]
		queued := 0
		for w := g.queues[c].first; w != nil; w = w.next {
			queued++
			if w.granted || w.slot.class != Class(c) {
				return fmt.Errorf("a waiter of class %v (granted: %t) is in the queue of %v", w.slot.class, w.granted, Class(c))
			}
			if g.admits(now, Class(c)) && g.parts.admits(now, Class(c), w.slot.at) {
				return fmt.Errorf("a request of class %v for %v waits although it may start", Class(c), w.slot.at)
			}
		}
		if queued != g.queues[c].length || g.inUse[c] < 0 {
			return fmt.Errorf("class %v: %d queued of %d, %d in use", Class(c), queued, g.queues[c].length, g.inUse[c])
		}
	}
	if sum != g.total || len(g.slots) != g.total {
		return fmt.Errorf("%d slots in use, %d in all classes, %d there", g.total, sum, len(g.slots))
	}
	parts := make(map[*partition]int)
	for s := range g.slots {
		if s.part != g.parts.find(s.at) {
			return fmt.Errorf("the slot of %v is counted in another partition", s.at)
		}
		parts[s.part]++
	}
	for _, p := range g.parts {
		if p.inUse != parts[p] {
			return fmt.Errorf("%d slots in use in %q, counted as %d", parts[p], p.prefix, p.inUse)
		}
	}
	return errors.Join(g.limit.check(), g.parts.check())
}

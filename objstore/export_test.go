package objstore

import (
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
		if g.queues[c].length > 0 && g.admits(now, Class(c)) {
			return fmt.Errorf("%d of class %v wait although they may start", g.queues[c].length, Class(c))
		}
		queued := 0
		for w := g.queues[c].first; w != nil; w = w.next {
			queued++
			if w.granted || w.class != Class(c) {
				return fmt.Errorf("a waiter of class %v (granted: %t) is in the queue of %v", w.class, w.granted, Class(c))
			}
		}
		if queued != g.queues[c].length || g.inUse[c] < 0 {
			return fmt.Errorf("class %v: %d queued of %d, %d in use", Class(c), queued, g.queues[c].length, g.inUse[c])
		}
	}
	if sum != g.total {
		return fmt.Errorf("%d slots in use, %d in all classes", g.total, sum)
	}
	return g.limit.check()
}

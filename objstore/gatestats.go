package objstore

import "time"

// GateStats is a gate as it stands, and what it has done since it was made.
type GateStats struct {
	Limit     int // requests that may be under way at once
	Max       int
	InUse     int                    // slots taken now
	Throttled uint64                 // answers by which the store asked for less
	Shed      uint64                 // reads that hung, and were broken off
	Parts     int                    // ranges of keys that have a limit of their own, because the store throttles them
	Classes   [NumClasses]ClassStats // by Class
}

// ClassStats is what a gate knows of the requests of one class. A request that was raised counts for the class it had
// when it got its slot.
type ClassStats struct {
	InUse   int           // slots taken now
	Waiting int           // requests in the queue now
	Started uint64        // requests that got a slot
	Queued  uint64        // requests that found none free
	Waited  time.Duration // sum over those
}

// Stats is a snapshot.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := GateStats{Limit: g.limit.limit, Max: g.limit.max, InUse: g.total, Throttled: g.refused, Shed: g.broken, Parts: len(g.parts), Classes: g.counts}
	for c := range s.Classes {
		s.Classes[c].InUse = g.inUse[c]
		s.Classes[c].Waiting = g.queues[c].length
	}
	return s
}

package share

import (
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/cache/disk"
)

// counters are what this process has done while another was the owner, and while there was none.
type counters struct {
	hits, misses, bytesRead, skipped, errors atomic.Int64

	mu   sync.Mutex // guards past
	past disk.Stats // of tiers that were given up: what they have done
}

// remember keeps what a tier has done.
func (c *counters) remember(s disk.Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = c.past.Plus(s)
}

// Stats is a snapshot: what is on disk now, whoever owns it, and what this process has done.
func (m *Member) Stats() disk.Stats {
	t, p := m.owned()
	var s disk.Stats
	if t != nil {
		s = t.Stats()
	} else if a, _, ok := m.ask(p, request{Op: opStats}); ok {
		o := a.Stats
		s = disk.Stats{Limit: o.Limit, MinFree: o.MinFree, Used: o.Used, Index: o.Index, Free: o.Free, Chunks: o.Chunks, Versions: o.Versions, Queued: o.Queued, Uncommitted: o.Uncommitted}
	}
	m.stats.mu.Lock()
	s = s.Plus(m.stats.past)
	m.stats.mu.Unlock()
	s.Queued += m.errands.waits.Load()
	s.Hits += m.stats.hits.Load()
	s.Misses += m.stats.misses.Load()
	s.BytesRead += m.stats.bytesRead.Load()
	s.BytesSkipped += m.stats.skipped.Load()
	s.Errors += m.stats.errors.Load()
	return s
}

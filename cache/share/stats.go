package share

import (
	"sync/atomic"

	"github.com/headrace/headrace/cache/disk"
)

// counters are what this process has done while another was the owner.
type counters struct {
	hits, misses, bytesRead, skipped atomic.Int64
}

// Stats is a snapshot: what is on disk now, whoever owns it, and what this process has done.
func (m *Member) Stats() disk.Stats {
	t, p := m.owned()
	var s disk.Stats
	if t != nil {
		s = t.Stats()
	} else if a, _, ok := m.ask(p, request{Op: opStats}); ok {
		o := a.Stats
		s = disk.Stats{Limit: o.Limit, MinFree: o.MinFree, Used: o.Used, Free: o.Free, Chunks: o.Chunks, Versions: o.Versions, Queued: o.Queued}
	}
	s.Queued += m.errands.waits.Load()
	s.Hits += m.stats.hits.Load()
	s.Misses += m.stats.misses.Load()
	s.BytesRead += m.stats.bytesRead.Load()
	s.BytesSkipped += m.stats.skipped.Load()
	return s
}

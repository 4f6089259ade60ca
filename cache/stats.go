package cache

import "github.com/headrace/headrace/objstore"

// Stats is a snapshot: what the cache holds now, and what it has done since it was made.
type Stats struct {
	MemoryLimit int64 // bytes
	MemoryUsed  int64 // bytes: committed blocks and the chunks' records; never more than the limit
	MemoryPeak  int64 // bytes: the most that MemoryUsed has been
	BytesHeld   int64 // bytes of versions that can be read without waiting
	Chunks      int64 // chunks of which something is held
	Fills       int64 // GETs under way

	Hits      int64 // reads answered at once
	Misses    int64 // reads that had to wait
	BytesRead int64 // bytes given to readers

	FillsStarted   int64 // GETs asked of the store
	FillsFailed    int64
	FillsCancelled int64 // nobody wanted the bytes any more
	BytesFetched   int64 // bytes that came from the store
	Raised         int64 // fills that a reader caught up with: prefetch became demand

	Evictions     int64 // chunks evicted
	EvictedUnread int64 // of these, chunks nobody has read
	Reused        int64 // chunks given up because their readers keep the bytes, for the sake of their memory
	MemoryWaits   int64 // reads that had to wait for memory
	FetchesShort  int64 // Fetch calls that accepted less than was asked
}

// Stats is a snapshot of the counters.
func (c *Cache) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.stats
	s.MemoryLimit, s.MemoryUsed, s.MemoryPeak = c.ledger.limit, c.ledger.used, c.ledger.peak
	s.Chunks = int64(c.index.chunks)
	s.Hits, s.BytesRead = c.hits.Load(), c.bytesRead.Load()
	return s
}

// Cached is how many bytes of v can be read without waiting.
func (c *Cache) Cached(v objstore.Version) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	o := c.index.objects[v]
	if o == nil {
		return 0
	}
	n := 0
	for _, k := range o.all() {
		n += k.present.bytes()
	}
	return int64(n)
}

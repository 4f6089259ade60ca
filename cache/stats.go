package cache

import (
	"slices"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

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

	FillsStarted   int64 // fills begun; each is a GET, or several, or none where the disk has the bytes
	FillsFailed    int64
	FillsCancelled int64             // nobody wanted the bytes any more
	BytesFetched   int64             // bytes that came from the store
	BytesLocal     int64             // bytes that came from the disk
	DiskStalls     int64             // calls that the disk did not answer in time
	Decided        [NumReasons]int64 // bytes of chunks, by what was decided about keeping them on the disk
	Raised         int64             // fills that a reader caught up with: prefetch became demand

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
	s.Chunks, s.DiskStalls = int64(c.index.chunks), c.stall.count()
	s.Hits, s.BytesRead = c.hits.Load(), c.bytesRead.Load()
	return s
}

// Disk is a snapshot of the disk tier's counters, the last one where the disk does not answer; ok is false when there
// is none.
func (c *Cache) Disk() (s disk.Stats, ok bool) {
	if c.disk == nil {
		return s, false
	}
	if now, answered := ask(&c.stall, c.disk.Stats, func(disk.Stats) {}); answered {
		c.lastDisk.Store(&now)
	}
	if last := c.lastDisk.Load(); last != nil {
		s = *last
	}
	return s, true
}

// Keeping is how many bytes of v the disk has, and, of whatever version, how many in memory it has had no time for and
// how many it is about to write.
func (c *Cache) Keeping(v objstore.Version) (here, refused, queued int64) {
	c.mu.RLock()
	for k := range c.unkept {
		refused += int64(k.present.bytes())
	}
	c.mu.RUnlock()
	s, _ := c.Disk()
	return c.onDisk(v), refused, s.Queued // asked for in this order: what is not queued any more is on the disk
}

// Cached is how many bytes of v can be had without the store: here, or on the disk.
func (c *Cache) Cached(v objstore.Version) int64 {
	n, here := int64(0), map[int64]spans{}
	c.mu.RLock()
	if o := c.index.objects[v]; o != nil {
		for _, k := range o.all() {
			n += int64(k.present.bytes())
			here[k.index] = slices.Clone(k.present)
		}
	}
	c.mu.RUnlock()
	if c.onDisk(v) == 0 {
		return n
	}
	if both, ok := ask(&c.stall, func() int64 { return c.cachedBoth(v, here) }, func(int64) {}); ok {
		return both
	}
	return n
}

// cachedBoth is how many bytes of v the disk has, and of those here besides.
func (c *Cache) cachedBoth(v objstore.Version, here map[int64]spans) int64 {
	n := c.disk.Cached(v)
	for index, present := range here {
		there := c.disk.Present(v, index)
		for _, s := range present {
			for lo := s.lo; lo < s.hi; { // block by block, those that are not there
				hi := min((lo/blockSize+1)*blockSize, s.hi)
				if !there.Has(lo / blockSize) {
					n += int64(hi - lo)
				}
				lo = hi
			}
		}
	}
	return n
}

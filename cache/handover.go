package cache

import (
	"container/list"
	"hash/maphash"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

const (
	// floorPart is the part of the limit below which memory behind bytes that were handed over is not used again, and
	// floorLeast the bytes: as much as the windows of a few readers.
	floorPart  = 16
	floorLeast = 128 << 20

	// ghostRounds is for how many limits' worth of chunks it is remembered that they were given up.
	ghostRounds = 8
	// maxUnkept is how many versions are remembered whose readers did not keep what they were given.
	maxUnkept = 1024
)

// handover knows which chunks hold nothing but what their readers keep elsewhere: a stream's bytes, once they are in
// the kernel's page cache. To keep them here as well would be to keep them twice, and memory touched for the first time
// is what costs most in reading (0.5 s of CPU a GiB, and in a virtual machine up to ten times that). So beyond the
// floor their memory is used for what comes next, and they are forgotten. Nor are they fetched again because somebody
// may come to them: another thread that reads the part before, say, whose window does not know where it will stop.
//
// The kernel may not keep them for long. Bytes that are asked for again after they were handed over show that, and
// from then on their version is kept like any other.
//
// INVARIANT: a chunk is in spent exactly when its spentAt is set, and then it is in the index.
type handover struct {
	floor  int64     // bytes committed below which nothing is given up
	spent  list.List // of *chunk, the one handed over first in front
	ghosts *simplelru.LRU[uint64, struct{}]
	unkept *simplelru.LRU[objstore.Version, struct{}]
	seed   maphash.Seed
}

func newHandover(limit int64) handover {
	h := handover{floor: max(limit/floorPart, min(limit, floorLeast)), seed: maphash.MakeSeed()}
	// A size that is not positive is the only error, and there is none.
	h.ghosts, _ = simplelru.NewLRU[uint64, struct{}](int(max(limit*ghostRounds/chunkSize, 1)), nil)
	h.unkept, _ = simplelru.NewLRU[objstore.Version, struct{}](maxUnkept, nil)
	return h
}

// keptBy is a chunk's part of it.
type keptBy struct {
	spentAt *list.Element // in handover.spent
	since   int64         // the clock's time when it was put there
}

// HandedOver tells the cache that the reader of r keeps the bytes itself and will not ask for them again soon: those of
// a file read from start to end, which are in the kernel's page cache now. It is a hint, and costs nobody anything who
// asks again all the same.
func (c *Cache) HandedOver(v objstore.Version, r objstore.Range) {
	for p := range pieces(r) {
		c.mu.RLock()
		k := c.index.find(v, p.index)
		last := k != nil && k.handOver(p.span)
		c.mu.RUnlock()
		if last {
			c.spend(k)
		}
	}
}

// handOver notes that s is with its reader, and tells whether that is so for the whole chunk now. A block is there once
// its end is.
func (k *chunk) handOver(s span) (last bool) {
	end := s.hi / blockSize * blockSize
	if s.hi == k.length {
		end = s.hi
	}
	ends := span{s.lo / blockSize * blockSize, end}.blocks()
	all := span{0, k.length}.blocks()
	before := blockMask(k.handed.Or(uint32(ends)))
	return before != all && before|ends == all
}

// spend puts a chunk that was handed over as a whole among those that go first.
func (c *Cache) spend(k *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.ring == nil || k.spentAt != nil || c.handover.unkept.Contains(k.object.version) {
		return
	}
	k.spentAt, k.since = c.handover.spent.PushBack(k), c.clock.now
}

// keep takes a chunk out of those that go first.
func (h *handover) keep(k *chunk) {
	if k.spentAt != nil {
		h.spent.Remove(k.spentAt)
		k.spentAt = nil
	}
}

// reuse gives up one chunk that was handed over, so that k need not have memory that was never touched; false when k
// needs none, or there is no such chunk.
func (c *Cache) reuse(k *chunk, want blockMask) bool {
	h := &c.handover
	if k.small() || c.ledger.used < h.floor || c.arena.spareBlocks >= want.count() {
		return false
	}
	return c.giveUp(k)
}

// giveUp gives up one chunk that was handed over, other than k; false when there is none.
func (c *Cache) giveUp(k *chunk) bool {
	h := &c.handover
	for range h.spent.Len() {
		front := h.spent.Front()
		o := front.Value.(*chunk)
		switch {
		case o.touched.Load() > o.since:
			h.unkept.Add(o.object.version, struct{}{})
			h.keep(o)
		case o == k || !o.evictable(false):
			h.spent.MoveToBack(front)
		default:
			c.stats.Reused++
			h.ghosts.Add(h.id(o.object.version, o.index), struct{}{})
			c.discard(o)
			return true
		}
	}
	return false
}

// elsewhere tells whether a chunk was given up because its reader keeps the bytes, so that it need not be fetched
// ahead.
func (h *handover) elsewhere(v objstore.Version, i int64) bool {
	return h.ghosts.Len() > 0 && h.ghosts.Contains(h.id(v, i)) && !h.unkept.Contains(v)
}

// missed notes that a chunk is brought. If it was given up, its reader did not keep it.
func (h *handover) missed(k *chunk) {
	if h.ghosts.Len() > 0 && h.ghosts.Remove(h.id(k.object.version, k.index)) {
		h.unkept.Add(k.object.version, struct{}{})
	}
}

// id stands for a chunk: it is short, so that what is remembered costs little, and two chunks with the same one do no
// harm.
func (h *handover) id(v objstore.Version, i int64) uint64 {
	return maphash.Comparable(h.seed, struct {
		objstore.Version
		index int64
	}{v, i})
}

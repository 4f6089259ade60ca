package cache

import (
	"container/list"
	"sync/atomic"
)

const (
	// youngMin and youngMax bound the newcomers' part of what is here, as divisors: large enough to outlive the reads of a
	// stream (a sixteenth of 2 GiB is 8 chunks), small enough that a scan leaves seven eighths alone. Between them, what
	// goes is a newcomer and none is promoted for want of old ones; they differ so that chunks of different sizes do not
	// push old ones out bit by bit.
	youngMin = 16
	youngMax = 8
	// staleAfter is how many times the limit must have been brought since an old chunk was read until a newcomer takes its
	// place. Two keeps what a loop over twice the memory (1.1 times the limit is brought a round) comes back to.
	staleAfter = 2
)

// standing is a chunk's place in the order of eviction.
type standing struct {
	ring    *ring
	place   *list.Element
	weight  int64        // bytes of memory behind the chunk
	entered int64        // the clock's time when the chunk was last put behind all others
	again   bool         // it has been through the young ring once and was read meanwhile
	touched atomic.Int64 // the clock's time when it was last read, 0 for never; written under the cache's read lock
}

// ring is a list of chunks; the next to be looked at is in front.
type ring struct {
	chunks list.List
	bytes  int64 // sum of weights
}

// clock decides which chunk goes. It is scan-resistant: a newcomer enters the young ring, an eighth of all, and most
// leave the cache from there. It moves to the old ring when the young one is larger than that, when it was read in two
// turns of the young ring, or in place of an old chunk that nobody has read for so long (staleAfter) that it is no use.
// So a loop over a set twice the size of the memory finds nearly half of it here, where a clock of one ring would find
// nothing, while a new working set takes over once twice the memory has been brought. Inside the old ring it is CLOCK.
//
// Time is counted in bytes brought: what a chunk's age costs is what came in meanwhile.
//
// INVARIANT: each ring's bytes are the sum of its chunks' weights.
type clock struct {
	limit int64 // of the ledger, in bytes
	now   int64 // bytes brought so far
	young ring
	old   ring
}

// add puts a new chunk into the young ring.
func (c *clock) add(k *chunk) { c.push(k, &c.young) }

// remove takes a chunk out.
func (c *clock) remove(k *chunk) {
	k.ring.bytes -= k.weight
	k.ring.chunks.Remove(k.place)
	k.ring, k.place = nil, nil
}

// weigh tells how many bytes of memory are behind k now.
func (c *clock) weigh(k *chunk, weight int64) {
	k.ring.bytes += weight - k.weight
	k.weight = weight
}

// brought moves time on.
func (c *clock) brought(n int) { c.now += int64(n) }

// touch notes that k was read.
func (c *clock) touch(k *chunk) {
	if k.touched.Load() != c.now { // a hit that changes nothing leaves the cache line to the other cores
		k.touched.Store(c.now)
	}
}

// victim is the chunk that goes next of those that may, nil when none may. It stays in its ring.
func (c *clock) victim(may func(*chunk) bool) *chunk {
	if c.young.bytes >= (c.young.bytes+c.old.bytes)/youngMin {
		if k := c.fromYoung(may); k != nil {
			return k
		}
	}
	if k := c.fromOld(may); k != nil {
		return k
	}
	return c.fromYoung(may)
}

// fromYoung goes around the young ring twice at most: the first turn may do no more than note what was read.
func (c *clock) fromYoung(may func(*chunk) bool) *chunk {
	for range 2 * c.young.chunks.Len() {
		front := c.young.chunks.Front()
		if front == nil {
			return nil
		}
		k := front.Value.(*chunk)
		switch {
		case !may(k):
			c.young.chunks.MoveToBack(front)
		case k.touched.Load() == 0:
			return k
		case c.young.bytes-k.weight >= (c.young.bytes+c.old.bytes)/youngMax:
			c.promote(k)
		case k.touched.Load() > k.entered && !k.again:
			k.again, k.entered = true, c.now
			c.young.chunks.MoveToBack(front)
		case k.touched.Load() > k.entered:
			c.promote(k)
			if o := c.fromOld(may); o != nil {
				return o
			}
		default:
			o := c.stale(may)
			if o == nil {
				return k
			}
			c.promote(k)
			return o
		}
	}
	return nil
}

// fromOld is CLOCK: what was read since the hand last passed gets another turn.
func (c *clock) fromOld(may func(*chunk) bool) *chunk {
	for range 2 * c.old.chunks.Len() {
		front := c.old.chunks.Front()
		k := front.Value.(*chunk)
		switch {
		case !may(k):
		case k.touched.Load() > k.entered:
			k.entered = c.now
		default:
			return k
		}
		c.old.chunks.MoveToBack(front)
	}
	return nil
}

// stale looks at one old chunk, and returns it when it was not read for staleAfter limits.
func (c *clock) stale(may func(*chunk) bool) *chunk {
	front := c.old.chunks.Front()
	if front == nil {
		return nil
	}
	k := front.Value.(*chunk)
	if may(k) && c.now-k.touched.Load() > staleAfter*c.limit {
		return k
	}
	c.old.chunks.MoveToBack(front)
	return nil
}

func (c *clock) promote(k *chunk) {
	c.remove(k)
	c.push(k, &c.old)
}

func (c *clock) push(k *chunk, r *ring) {
	k.ring, k.entered = r, c.now
	k.place = r.chunks.PushBack(k)
	r.bytes += k.weight
}

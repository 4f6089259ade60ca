package cache

import (
	"context"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// effort says what may be done to make room.
type effort int

const (
	takeFree    effort = iota // only what is free
	evictIdle                 // evict what nobody predicts
	evictAnyhow               // evict predicted bytes too, when nothing else is left
)

// turn is a reader's place in the queue of those for whom there was no room.
type turn struct {
	ready chan struct{} // holds a token when it is worth trying: the turn is first, and something was freed
}

// provide gives the chunk, made if need be, with memory held for the blocks of gaps; nil, with nothing changed but what
// was evicted, when there is no room.
func (c *Cache) provide(v objstore.Version, i int64, gaps []span, e effort) *chunk {
	k := c.index.find(v, i)
	fresh := k == nil
	if fresh {
		k = newChunk(c.index.object(v), i)
		for !c.arena.book(k.cost) {
			if !c.makeRoom(k, e) {
				return nil
			}
		}
	}
	var want blockMask
	for _, g := range gaps {
		want |= g.blocks()
	}
	for e != takeFree && c.reuse(k, want) {
	}
	for !c.hold(k, want) {
		if !c.makeRoom(k, e) {
			if fresh {
				c.ledger.give(k.cost)
			}
			return nil
		}
	}
	if fresh {
		c.index.put(k)
		c.clock.add(k)
		c.handover.missed(k)
	}
	c.clock.weigh(k, k.weightNow())
	return k
}

// hold puts memory behind blocks of k, or changes nothing and returns false.
func (c *Cache) hold(k *chunk, want blockMask) bool {
	switch {
	case k.small():
		return k.frame != nil || c.slab.take(k)
	case k.slot != nil:
		return c.arena.hold(k.slot, want)
	}
	if k.slot = c.arena.acquire(want); k.slot == nil {
		return false
	}
	k.mem = k.slot.mem()[:k.length:k.length]
	return true
}

// weightNow is how much memory is behind the chunk.
func (k *chunk) weightNow() int64 {
	if k.frame != nil {
		return int64(cellSize(k.frame.class))
	}
	return k.slot.held.bytes()
}

// makeRoom evicts one chunk, or the cells of one frame, for the sake of k; false when there is nothing that may go.
func (c *Cache) makeRoom(k *chunk, e effort) bool {
	if e == takeFree {
		return false
	}
	may := func(lastResort bool) func(*chunk) bool {
		return func(o *chunk) bool {
			return o != k && !slices.ContainsFunc(o.goesWith(k), func(m *chunk) bool { return m != nil && !m.evictable(lastResort) })
		}
	}
	victim := c.clock.victim(may(false))
	if victim == nil && e == evictAnyhow {
		victim = c.clock.victim(may(true))
	}
	if victim == nil {
		return false
	}
	for _, o := range slices.Clone(victim.goesWith(k)) {
		if o != nil {
			c.stats.Evictions++
			if o.touched.Load() == 0 {
				c.stats.EvictedUnread++
			}
			c.discard(o)
		}
	}
	return true
}

// goesWith are the chunks that are evicted with o to make room for k: o alone, or, when k cannot use o's cell, all of
// o's frame.
func (o *chunk) goesWith(k *chunk) []*chunk {
	if o.frame == nil || k.small() && cellClass(k.length) == o.frame.class {
		return []*chunk{o}
	}
	return o.frame.cells
}

// settle brings k in line with what it holds: blocks that nothing fills any more are free again, predictions of bytes
// that will not come are void, and a chunk of which nothing is left is forgotten.
func (c *Cache) settle(k *chunk) {
	if k.aside.Load() {
		c.cancelUnwanted(k) // who has gone does not find it to do so: see unwanted
		c.bury(k)
		return
	}
	if len(k.present) == 0 && len(k.fills) == 0 && k.pins.Load() == 0 {
		c.discard(k)
		return
	}
	coming := k.coming().blocks()
	var claimed blockMask
	for i := range k.claims {
		k.claims[i].asked &= coming
		claimed |= k.claims[i].asked
	}
	k.unread.And(uint32(claimed))
	if k.slot != nil && k.slot.blocks()&^coming != 0 {
		c.arena.drop(k.slot, k.slot.blocks()&^coming)
		c.clock.weigh(k, k.weightNow())
	}
}

// discard forgets k, which is evictable, and frees its memory.
func (c *Cache) discard(k *chunk) {
	if k.aside.Load() {
		c.bury(k)
		return
	}
	c.forget(k)
	c.free(k)
}

// forget has nobody find k any more.
func (c *Cache) forget(k *chunk) {
	for _, cl := range k.claims {
		delete(cl.prediction.chunks, k)
	}
	k.claims = nil
	c.index.remove(k)
	c.clock.remove(k)
	c.handover.keep(k)
	delete(c.unkept, k)
	if c.disk != nil && k.touched.Load() > 0 { // it was read here and not there, and is worth as much
		c.disk.Used(k.object.version, k.index)
	}
}

// free gives back the memory of a chunk that is forgotten.
func (c *Cache) free(k *chunk) {
	c.stats.BytesHeld -= int64(k.present.bytes())
	if k.frame != nil {
		c.slab.put(k)
	} else {
		c.arena.put(k.slot)
		k.slot, k.mem = nil, nil
	}
	c.ledger.give(k.cost)
}

// queueUp gives a reader a place in the queue for memory. It is to try once more before it waits: until starving was
// raised nobody knew that there was somebody to tell.
func (c *Cache) queueUp() *turn {
	t := &turn{ready: make(chan struct{}, 1)}
	c.queue = append(c.queue, t)
	c.starving.Add(1)
	c.stats.MemoryWaits++
	c.serveNext()
	return t
}

// leaveQueue gives up the place, and the next one may try.
func (c *Cache) leaveQueue(t *turn) {
	c.queue = slices.DeleteFunc(c.queue, func(o *turn) bool { return o == t })
	c.starving.Add(-1)
	c.serveNext()
}

// serveNext lets the first of the queue try: something may have become free.
func (c *Cache) serveNext() {
	if len(c.queue) > 0 {
		select {
		case c.queue[0].ready <- struct{}{}:
		default: // it has been told, and has not looked yet
		}
	}
}

// mayTake tells whether it is the turn of t (nil for somebody who is not in the queue) to take memory.
func (c *Cache) mayTake(t *turn) bool { return len(c.queue) == 0 || c.queue[0] == t }

// await waits until it is worth trying, or ctx ends.
func (t *turn) await(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

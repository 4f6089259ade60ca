package cache

import (
	"context"

	"github.com/headrace/headrace/objstore"
)

// Fetch asks for r to be brought, and does not wait for anything. Bytes already here or under way are not asked for
// again, and no GET crosses a chunk. r is cut at the version's end and widened to pages of 4 KiB.
//
// ctx is the life of the prediction, not of the call: while it lives the bytes are kept for their reader, who may still
// be far away. When it ends, fills that nobody waits for and nobody else predicts are cancelled, unless nearly done,
// and bytes nobody has read become as evictable as any. A context that never ends keeps them until they are read.
//
// With class ClassDemand, first is the offset that somebody waits for: its GET starts at its page, a second one brings
// the part before it, and when memory is short its block is brought even at the cost of other predictions. With
// ClassPrefetch only what nobody predicts is evicted, and a chunk is asked for whole or not at all; with ClassWarm
// nothing is evicted.
//
// accepted is how many bytes from r.Off on are here, under way, started now, or with their readers (see HandedOver):
// fewer than r.Len means that memory is short. started is how many bytes this call asked from the store.
func (c *Cache) Fetch(ctx context.Context, v objstore.Version, r objstore.Range, class objstore.Class, first int64) (accepted, started int64) {
	r = r.Intersect(objstore.Range{Len: v.Size})
	if r.Empty() || ctx.Err() != nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, 0
	}
	p := c.prediction(ctx)
	for pc := range pieces(r) {
		if class == objstore.ClassPrefetch && c.index.find(v, pc.index) == nil && c.handover.elsewhere(v, pc.index) {
			accepted += int64(pc.span.len())
			continue
		}
		at := -1 // where in this piece somebody waits
		if class <= objstore.ClassDemand && first/chunkSize == pc.index {
			at = int(first - pc.index*chunkSize)
		}
		wide := piece{pc.index, pc.span.grow(pageSize, chunkLength(v, pc.index))}
		started += c.fetch(p, v, wide, class, at)
		reached := 0
		if k := c.index.find(v, pc.index); k != nil {
			reached = k.promised().reach(pc.span)
		}
		accepted += int64(reached)
		if reached < pc.span.len() {
			c.stats.FetchesShort++
			break
		}
	}
	return accepted, started
}

// fetch brings one piece as far as there is room, has p claim what of it comes, and returns how many bytes it asked
// for.
func (c *Cache) fetch(p *prediction, v objstore.Version, pc piece, class objstore.Class, at int) (started int64) {
	started, ok := c.bring(v, pc, class, at, effortOf(class))
	if !ok && at >= 0 {
		block := span{at, at + 1}.grow(blockSize, chunkLength(v, pc.index))
		started, _ = c.bring(v, piece{pc.index, block.intersect(pc.span)}, class, at, evictAnyhow)
	}
	if k := c.index.find(v, pc.index); k != nil {
		var blocks blockMask
		for _, s := range k.promised() {
			blocks |= s.intersect(pc.span).blocks()
		}
		p.claim(k, blocks)
	}
	return started
}

// bring begins fills for all that is missing of pc; ok is false, and nothing is begun, when there is no room for all of
// it.
func (c *Cache) bring(v objstore.Version, pc piece, class objstore.Class, at int, e effort) (started int64, ok bool) {
	gaps := []span{pc.span}
	if k := c.index.find(v, pc.index); k != nil {
		gaps = k.coming().gaps(pc.span)
	}
	if len(gaps) == 0 {
		return 0, true
	}
	if !c.mayTake(nil) {
		return 0, false
	}
	k := c.provide(v, pc.index, gaps, e)
	if k == nil {
		return 0, false
	}
	for _, gap := range gaps {
		if gap.lo <= at && at < gap.hi {
			c.begin(k, gap, at, class)
		} else {
			c.begin(k, gap, -1, max(class, objstore.ClassPrefetch))
		}
		started += int64(gap.len())
	}
	return started, true
}

// effortOf is what is done to make room for a prediction of the class. Not even demand may evict predicted bytes for
// more than the block somebody waits for.
func effortOf(class objstore.Class) effort {
	if class >= objstore.ClassWarm {
		return takeFree
	}
	return evictIdle
}

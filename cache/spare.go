package cache

import (
	"context"

	"github.com/headrace/headrace/objstore"
)

// spareReserve is the part of the limit that is not taken for what nobody has asked for: readers who come meanwhile
// find room without evicting.
const spareReserve = 8

// spareComing is the part of the limit that may be under way so. Nobody can evict it, and readers may be waiting for
// memory while its GETs, which are less urgent than theirs, wait for a slot.
const spareComing = 4

// FetchSpare brings all of v, which is no longer than a chunk, by one GET of class prefetch into memory that is free,
// and waits until it is here. It evicts nothing. Free is what was never used, but for an eighth of the limit, and what
// holds bytes that their readers keep themselves; see [Cache.HandedOver].
//
// asked tells that the store was asked; else v is here, under way, on the disk or with its reader, or there is no room,
// which full tells. The bytes are as evictable as any that nobody has read again. The class rises with that of ctx's
// [objstore.Ticket]. ctx ends the waiting; what is under way then ends too unless somebody wants it. Errors are the
// store's, and ctx's.
func (c *Cache) FetchSpare(ctx context.Context, v objstore.Version) (asked, full bool, err error) {
	if v.Size <= 0 || v.Size > chunkSize || ctx.Err() != nil || c.Local(v) {
		return false, false, ctx.Err()
	}
	rd := &reading{cache: c, count: 1, pieces: [2]piece{{0, span{0, int(v.Size)}}}}
	w, f, full := c.bringSpare(v, rd)
	if w == nil {
		return false, full, nil
	}
	defer c.goroutines.Done()
	ticket := objstore.TicketFrom(ctx, objstore.ClassPrefetch)
	ticket.OnRaise(f.ticket.Raise)
	defer ticket.OnRaise(nil)
	f.ticket.Raise(ticket.Class()) // it may have been raised before it was listened to
	waiters := []*waiter{w}
	err = await(ctx, waiters)
	c.leave(rd, waiters)
	asked = !c.endSpare(f)
	if err == errAgain { // the disk does not answer, and has it perhaps
		return false, false, nil
	}
	if err != nil {
		c.unwanted(v, rd)
	}
	return asked, false, err
}

// endSpare ends what bringSpare began. local tells that bytes were found on the disk, where they can have come since
// one looked: other mounts write there too.
func (c *Cache) endSpare(f *fill) (local bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming -= int64(f.end)
	return f.local
}

// bringSpare begins the fill and the wait for it, which the caller ends, in goroutines too; nil when there is none.
func (c *Cache) bringSpare(v objstore.Version, rd *reading) (w *waiter, f *fill, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.index.find(v, 0) != nil || c.handover.elsewhere(v, 0) {
		return nil, nil, false
	}
	if !c.mayTake(nil) || c.coming+v.Size > c.ledger.limit/spareComing || !c.spare(v.Size) {
		return nil, nil, true
	}
	whole := rd.pieces[0]
	started, ok := c.bring(v, whole, objstore.ClassPrefetch, -1, takeFree)
	if !ok || started == 0 {
		return nil, nil, !ok
	}
	k := c.index.find(v, 0)
	rd.chunks[0] = k
	k.pins.Add(1)
	w = &waiter{chunk: k, span: whole.span, done: make(chan error, 1)}
	k.waiters = append(k.waiters, w)
	c.coming += v.Size
	c.goroutines.Add(1)
	return w, k.fills[0], false // the chunk was not here, so there is but one
}

// spare tells whether n bytes may be taken, and gives up for them what its readers keep where nothing else is free.
func (c *Cache) spare(n int64) bool {
	free := c.unused()
	if free-c.takes(n) >= c.ledger.limit/spareReserve {
		return true
	}
	for c.unused()-free < c.takes(n) {
		if !c.giveUp(nil) {
			return false
		}
	}
	return true
}

// unused is how much memory nothing is in.
func (c *Cache) unused() int64 { return c.ledger.room() + int64(c.arena.spareBlocks)*blockSize }

// takes is how much of it a chunk of n bytes needs: whole blocks, or nothing where a cell of its size is free.
func (c *Cache) takes(n int64) int64 {
	if n <= largestCell && len(c.slab.partial[cellClass(int(n))]) > 0 {
		return 0
	}
	return (n + blockSize - 1) / blockSize * blockSize
}

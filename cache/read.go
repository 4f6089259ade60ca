package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

var (
	errClosed = fmt.Errorf("cache: %w", os.ErrClosed)
	errAgain  = errors.New("cache: the fill was given up before the reader came") // never leaves the package
)

// reading is one Read: its pieces, the chunks it pins, and the bytes it gives out. A read is no longer than a chunk, so
// two are enough.
type reading struct {
	cache    *Cache
	count    int
	pieces   [2]piece
	chunks   [2]*chunk
	data     [2][]byte
	released atomic.Bool
}

// waiter is a reader's wait for bytes of one chunk.
type waiter struct {
	chunk *chunk
	span  span
	done  chan error // holds one: nil when the bytes are here
}

// Read waits until all bytes of r are here and returns them in order: one slice, or two where r crosses from one chunk
// into the next. They lie in the cache's own memory and stay as they are until release is called, which must happen
// exactly once and panics the second time. waited tells whether they were not all here when the call began.
//
// Bytes that are neither here nor under way are fetched, in whole blocks of 1 MiB, the demanded page first. A fetch
// that this read waits for becomes a demand fetch. Where there is no memory, because all of it is pinned or being
// filled, Read waits its turn.
//
// ctx ends the waiting and nothing else: what others wait for or predict goes on. Errors are the store's as they came,
// of the fetch that did not bring the bytes (the next Read tries anew), ctx's, os.ErrClosed, and ErrInvalid for a range
// that is empty, not within the version or longer than a chunk of 16 MiB.
func (c *Cache) Read(ctx context.Context, v objstore.Version, r objstore.Range) (data [][]byte, release func(), waited bool, err error) {
	if r.Off < 0 || r.Empty() || r.Len > chunkSize || r.Off > v.Size-r.Len {
		return nil, nil, false, fmt.Errorf("cache: reading %v of %v: %w", r, v, objstore.ErrInvalid)
	}
	rd := &reading{cache: c}
	for p := range pieces(r) {
		rd.pieces[rd.count] = p
		rd.count++
	}
	if waited = !c.hit(v, rd); !waited {
		c.hits.Add(1)
	} else if err := c.miss(ctx, v, rd); err != nil {
		return nil, nil, true, err
	}
	c.bytesRead.Add(r.Len)
	return rd.data[:rd.count], rd.release, waited, nil
}

// hit pins the chunks when all bytes are here. It takes the read lock only, so that hits do not wait for each other.
func (c *Cache) hit(v objstore.Version, rd *reading) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range rd.count {
		k := c.index.find(v, rd.pieces[i].index)
		if k == nil || !k.present.covers(rd.pieces[i].span) {
			return false
		}
		rd.chunks[i] = k
	}
	for i := range rd.count {
		c.pin(rd, i)
	}
	return true
}

// pin keeps a piece's chunk and its memory, which is held, where they are.
func (c *Cache) pin(rd *reading, i int) {
	k, s := rd.chunks[i], rd.pieces[i].span
	k.pins.Add(1)
	rd.data[i] = k.mem[s.lo:s.hi:s.hi]
	c.clock.touch(k)
	k.read(s)
}

// release ends the pins, and lets a reader that waits for memory know when one was the last.
func (rd *reading) release() {
	if rd.released.Swap(true) {
		panic("cache: a read was released twice")
	}
	last, aside := false, false
	for i := range rd.count {
		k := rd.chunks[i]
		last = k.pins.Add(-1) == 0 || last
		aside = k.aside.Load() || aside // after the pin: what is set aside later has a fill, whose end frees it
	}
	c := rd.cache
	if last && (aside || c.starving.Load() > 0) { // in this order: a reader raises starving before it looks at the pins
		c.mu.Lock()
		for i := range rd.count {
			c.bury(rd.chunks[i])
		}
		c.serveNext()
		c.mu.Unlock()
	}
}

// miss has the missing bytes brought and waits for them.
func (c *Cache) miss(ctx context.Context, v objstore.Version, rd *reading) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errClosed
	}
	c.goroutines.Add(1) // the caller's: Close waits until it has seen the end of its fills
	c.stats.Misses++
	c.mu.Unlock()
	defer c.goroutines.Done()
	for {
		waiters, err := c.join(ctx, v, rd)
		if err != nil {
			c.unwanted(v, rd)
			return err
		}
		if err = await(ctx, waiters); err == nil {
			return nil
		}
		c.leave(rd, waiters)
		if err != errAgain { // the other piece's fill goes on: it is wanted again at once
			c.unwanted(v, rd)
			return err
		}
	}
}

// unwanted cancels fills of a read that has ended without its bytes, where they were for it alone.
func (c *Cache) unwanted(v objstore.Version, rd *reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rd.count {
		if k := c.index.find(v, rd.pieces[i].index); k != nil {
			c.cancelUnwanted(k)
		}
	}
}

// join pins the chunks and starts what is missing, waiting for memory where there is none. While it waits it holds
// nothing, so that readers who need two chunks cannot block each other.
func (c *Cache) join(ctx context.Context, v objstore.Version, rd *reading) (waiters []*waiter, err error) {
	c.mu.Lock()
	var t *turn
	for {
		if c.closed {
			err = errClosed
			break
		}
		var ok bool
		if waiters, ok = c.start(v, rd, t); ok {
			break
		}
		if t == nil {
			t = c.queueUp()
		}
		c.mu.Unlock()
		err = t.await(ctx)
		c.mu.Lock()
		if err != nil {
			break
		}
	}
	if t != nil {
		c.leaveQueue(t)
	}
	raise := c.awaited(waiters)
	c.mu.Unlock()
	for _, ticket := range raise {
		ticket.Raise(objstore.ClassDemand)
	}
	return waiters, err
}

// start takes memory for all that is missing, and only when there is enough begins the fills. ok is false when it is
// not, and nothing is held.
func (c *Cache) start(v objstore.Version, rd *reading, t *turn) (waiters []*waiter, ok bool) {
	var missing [2][]span
	for i := range rd.count {
		p := rd.pieces[i]
		k := c.index.find(v, p.index)
		want := p.span.grow(blockSize, chunkLength(v, p.index))
		switch {
		case k == nil:
			missing[i] = []span{want}
		case !k.coming().covers(p.span):
			missing[i] = k.coming().gaps(want)
		}
		if missing[i] != nil {
			if k = nil; c.mayTake(t) {
				k = c.provide(v, p.index, missing[i], evictAnyhow)
			}
			if k == nil {
				c.unpin(rd, i)
				return nil, false
			}
		}
		rd.chunks[i] = k
		c.pin(rd, i) // before room is made for the other piece
	}
	for i := range rd.count {
		k, s := rd.chunks[i], rd.pieces[i].span
		for _, gap := range missing[i] {
			if s.overlaps(gap) {
				c.begin(k, gap, max(s.lo, gap.lo), objstore.ClassDemand)
			} else {
				c.begin(k, gap, -1, objstore.ClassPrefetch)
			}
		}
		c.clock.touch(k)
		if !k.present.covers(s) {
			w := &waiter{chunk: k, span: s, done: make(chan error, 1)}
			k.waiters = append(k.waiters, w)
			waiters = append(waiters, w)
		}
	}
	return waiters, true
}

// awaited are the tickets of the fills that bring what the waiters need.
func (c *Cache) awaited(waiters []*waiter) []*objstore.Ticket {
	var tickets []*objstore.Ticket
	for _, w := range waiters {
		for _, f := range w.chunk.fills {
			if f.rest().overlaps(w.span) && f.ticket.Class() > objstore.ClassDemand {
				tickets = append(tickets, f.ticket)
				c.stats.Raised++
			}
		}
	}
	return tickets
}

// await waits until all waiters have their bytes, one has failed, or ctx ends.
func await(ctx context.Context, waiters []*waiter) error {
	for _, w := range waiters {
		select {
		case err := <-w.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// leave ends a read's wait: what it held is free.
func (c *Cache) leave(rd *reading, waiters []*waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range waiters {
		w.chunk.waiters = slices.DeleteFunc(w.chunk.waiters, func(o *waiter) bool { return o == w })
	}
	c.unpin(rd, rd.count)
	c.serveNext()
}

// unpin lets go of the first n pieces' chunks under the lock.
func (c *Cache) unpin(rd *reading, n int) {
	for i := range n {
		rd.chunks[i].pins.Add(-1)
		c.settle(rd.chunks[i])
		rd.chunks[i], rd.data[i] = nil, nil
	}
}

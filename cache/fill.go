package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/headrace/headrace/objstore"
)

const (
	// readStep is the most that is read before readers are told: large enough for few system calls, small enough that a
	// reader of the first page does not wait for the chunk when the source has all bytes at hand.
	readStep = blockSize
	// headSlack is how far before the demanded page a GET may start so that no second GET is needed for what lies before
	// it: 64 KiB cost 0.8 ms at 80 MiB/s, much less than a request.
	headSlack = 64 << 10
	// nearlyDone is how little a fill that nobody wants any more may still have to bring to be let finish: breaking it off
	// would cost the connection, which is worth more.
	nearlyDone = blockSize
	// emptyReads is how many reads in a row may bring neither a byte nor an error, as bufio has it.
	emptyReads = 100
)

// fill is one GET under way: a goroutine that reads a body straight into its chunk's memory. Cache.mu guards pos, local
// and cancelled.
type fill struct {
	chunk      *chunk
	start, end int // bytes of the chunk that it was begun for
	ticket     *objstore.Ticket
	stored     *storedContent  // of a file that is being taken over; nil for none
	ctx        context.Context // the fill's life: ends by cancel and with the cache
	cancel     context.CancelFunc

	pos       int  // the watermark: the bytes from start up to here have come
	local     bool // some of them from the disk
	cancelled bool // nobody waits for it nor predicts it; it ends as soon as the source lets go

	leave func() // Close waits for it until this is called
}

// rest is what the fill still has to bring.
func (f *fill) rest() span { return span{f.pos, f.end} }

// begin starts the GETs that bring gap, whose memory is held. Where first lies inside, the GET for it goes ahead under
// class: it starts at first's page, and what lies before follows as prefetch. Without it (first < 0) there is one GET.
func (c *Cache) begin(k *chunk, gap span, first int, class objstore.Class) {
	page := first / pageSize * pageSize
	if first >= gap.hi || page-gap.lo <= headSlack {
		c.launch(k, gap, class)
		return
	}
	c.launch(k, span{page, gap.hi}, class)
	c.launch(k, span{gap.lo, page}, max(class, objstore.ClassPrefetch))
}

func (c *Cache) launch(k *chunk, s span, class objstore.Class) {
	f := &fill{chunk: k, start: s.lo, pos: s.lo, end: s.hi, ticket: objstore.NewTicket(class), stored: c.stored.announced(k.object.version)}
	f.ctx, f.cancel = context.WithCancel(objstore.WithTicket(c.life, f.ticket))
	k.fills = append(k.fills, f)
	c.clock.brought(s.len())
	c.stats.FillsStarted++
	c.stats.Fills++
	c.goroutines.Add(1)
	f.leave = sync.OnceFunc(c.goroutines.Done)
	go func() {
		defer f.leave()
		err := c.receive(f)
		f.cancel()
		c.end(f, err)
	}()
}

// receive brings the bytes, from the disk where they are there. Nobody but the fill writes to its part of the chunk,
// and no fill is forgotten before it has returned.
func (c *Cache) receive(f *fill) error {
	if c.disk == nil {
		return c.download(f, f.end)
	}
	return c.receiveBoth(f)
}

// download reads the bytes up to end from the store.
func (c *Cache) download(f *fill, end int) error {
	k := f.chunk
	r := objstore.Range{Off: k.index*chunkSize + int64(f.pos), Len: int64(end - f.pos)}
	if stored, ok := f.stored.content(f.ctx); ok {
		copy(k.mem[f.pos:end], stored[r.Off:r.End()])
		c.mu.Lock()
		defer c.mu.Unlock()
		c.arrived(f, end)
		return nil
	}
	body, err := c.source.Open(f.ctx, k.object.version, r)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for pos, idle := f.pos, 0; ; {
		n, err := body.Read(k.mem[pos:min(pos+readStep, end)])
		pos += n
		if pos == end {
			if err == nil {
				err = readEnd(body)
			}
			if err == io.EOF { // only now: a source that checks the content says so here
				c.advance(f, pos)
				return nil
			}
			return err
		}
		if n > 0 {
			idle = 0
			c.advance(f, pos)
		} else if idle++; idle == emptyReads {
			return io.ErrNoProgress
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// readEnd reads what must be the end of the body, and returns io.EOF when it is.
func readEnd(body io.Reader) error {
	var beyond [1]byte
	for range emptyReads {
		n, err := body.Read(beyond[:])
		if n > 0 {
			return fmt.Errorf("cache: %w: the body is longer than the range", objstore.ErrCorrupt)
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// advance moves the watermark to pos, after bytes from the store, and wakes the readers whose bytes are here now.
func (c *Cache) advance(f *fill, pos int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.BytesFetched += int64(pos - f.pos)
	c.arrived(f, pos)
}

func (c *Cache) arrived(f *fill, pos int) {
	k := f.chunk
	k.present = k.present.add(span{f.pos, pos})
	c.stats.BytesHeld += int64(pos - f.pos)
	f.pos = pos
	k.wake()
}

// end takes the fill out of its chunk. What it did not bring fails the readers who miss it; those of a cancelled fill,
// who came after it was given up, try again.
func (c *Cache) end(f *fill, err error) {
	c.mu.Lock()
	k := f.chunk
	k.fills = slices.DeleteFunc(k.fills, func(o *fill) bool { return o == f })
	c.stats.Fills--
	told := 0
	switch {
	case err == nil:
	case c.closed:
		k.fail(f.rest(), errClosed)
	case f.cancelled:
		c.stats.FillsCancelled++
		k.fail(f.rest(), errAgain)
	case errors.Is(err, errAside):
		told = 1 // by setAside, or now
		k.fail(f.rest(), errAgain)
	case errors.Is(err, objstore.ErrChanged): // nobody gets another byte of this version from the store
		c.stats.FillsFailed++
		told = k.fail(span{0, chunkSize}, err) // it may have been set aside, and is not among the object's then
		for _, o := range k.object.all() {
			told += o.fail(span{0, chunkSize}, err)
		}
	default:
		c.stats.FillsFailed++
		told = k.fail(f.rest(), err)
	}
	unheard := err != nil && told == 0 && !f.cancelled && !c.closed
	c.keep(k)
	c.settle(k)
	c.serveNext()
	c.mu.Unlock()
	if unheard {
		c.log.Debug("prefetch failed", "key", k.object.version.Key, "chunk", k.index, "error", err)
	}
}

// cancelUnwanted cancels k's fills that nobody waits for and nobody predicts. One that is nearly done is let finish.
func (c *Cache) cancelUnwanted(k *chunk) {
	var predicted blockMask
	for _, cl := range k.claims {
		predicted |= cl.asked
	}
	for _, f := range k.fills {
		begun := f.pos > f.start
		switch {
		case f.cancelled:
		case f.rest().blocks()&predicted != 0:
		case slices.ContainsFunc(k.waiters, func(w *waiter) bool { return w.span.overlaps(f.rest()) }):
		case begun && f.rest().len() <= nearlyDone:
		default:
			f.cancelled = true
			f.cancel()
		}
	}
}

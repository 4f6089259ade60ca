package prefetch

import (
	"context"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

// File follows the reads of one open version. All methods may be called at the same time from many goroutines.
type File struct {
	p       *Prefetcher
	version objstore.Version
	ctx     context.Context // fileLife: ends with Close
	cancel  context.CancelFunc

	// mu guards what is below. It is held while the source is asked (Fetch does not wait for the network), so that of two
	// readers that come into a chunk together the second finds the first one's request under way, and makes none.
	mu          sync.Mutex
	window      *window
	predictions map[int64]prediction
	active      int64 // what of p.active is this file's
	claimed     bool  // this file's size is in p.claimed
	closed      bool
}

// prediction is a life that asks share.
type prediction struct {
	ctx context.Context
	end context.CancelFunc
}

func newFile(p *Prefetcher, v objstore.Version) *File {
	ctx, cancel := context.WithCancel(context.Background())
	return &File{
		p:           p,
		version:     v,
		ctx:         ctx,
		cancel:      cancel,
		window:      newWindow(v.Size, p.budget),
		predictions: make(map[int64]prediction),
	}
}

// Preload fetches an object of up to two chunks whole and now, one GET a chunk, and waits for its first byte when all
// of it was newly asked for. confirmed tells that the store was asked for this version after the call began, and has
// it: nobody needs to ask again whether the name still means this version. For larger and for empty objects, and for
// those that are already here or on a local disk in part, nothing is confirmed. Errors are objstore's: ErrChanged when
// the name has moved on.
func (f *File) Preload(ctx context.Context) (confirmed bool, err error) {
	if f.version.Size == 0 || !f.window.whole() {
		return false, nil
	}
	local := f.p.source.Local(f.version)
	var started int64
	class := objstore.ClassDemand
	for off := int64(0); off < f.version.Size; off += ChunkSize {
		chunk := f.window.grid.cover(off, off+1, ChunkSize)
		accepted, n := f.p.source.Fetch(f.ctx, f.version, chunk, class, off)
		f.count(class, chunk, accepted, n)
		started += n
		class = objstore.ClassPrefetch
	}
	if local || started < f.version.Size {
		return false, nil
	}
	_, release, _, err := f.p.source.Read(ctx, f.version, objstore.Range{Len: 1})
	if err != nil {
		return false, err
	}
	defer release()
	return !f.p.source.CameLocal(f.version, 0), nil
}

// Read returns the bytes from off on, n at most and fewer only at the end of the file; none at or after the end. They
// are pinned until release is called, exactly once, also when there are none. ctx ends only the waiting. Errors are
// objstore's.
func (f *File) Read(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	r := objstore.Range{Off: off, Len: int64(n)}.Intersect(objstore.Range{Len: f.version.Size})
	if r.Empty() {
		return nil, func() {}, nil
	}
	f.p.sweep()
	start := f.p.now()
	lane, missed := f.follow(r, start)
	data, release, waited, err := f.p.source.Read(ctx, f.version, r)
	end := f.p.now()
	f.mu.Lock()
	f.window.done(lane, outcome{at: end, took: end.Sub(start), missed: missed, waited: waited})
	f.settle()
	f.mu.Unlock()
	if err == nil {
		f.p.counters.reads.Add(1)
		f.p.counters.readBytes.Add(r.Len)
	}
	return data, release, err
}

// HandedOver tells that the reader keeps what a Read gave it, as the kernel's page cache does. Bytes that belong to a
// file that is read from start to end are not needed here then.
func (f *File) HandedOver(off int64, n int) {
	r := objstore.Range{Off: off, Len: int64(n)}
	f.mu.Lock()
	streaming := f.window.streaming(r)
	f.mu.Unlock()
	if streaming {
		f.p.source.HandedOver(f.version, r)
	}
}

// Close ends what was predicted for the file. Reads under way get their bytes.
func (f *File) Close() {
	f.p.forget(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.cancel()
	clear(f.predictions)
	if f.claimed {
		f.claimed = false
		f.p.claimed.Add(-f.version.Size)
	}
	f.settle()
}

// follow lets the window see the read of r, and asks the source for what it says. It returns the read's lane, and
// whether any of its bytes are only now asked for.
func (f *File) follow(r objstore.Range, now time.Time) (lane int64, missed bool) {
	part := f.p.allot()
	f.mu.Lock()
	defer f.mu.Unlock()
	lane = f.window.read(r, part, now)
	f.claim()
	for _, a := range f.window.asks {
		accepted, started := f.p.source.Fetch(f.life(a.prediction), f.version, a.Range, a.class, a.first)
		f.count(a.class, a.Range, accepted, started)
		missed = missed || started > 0 && a.class == objstore.ClassDemand
		if !f.window.answered(a, accepted, started) {
			break
		}
	}
	f.window.asks = f.window.asks[:0]
	f.settle()
	return lane, missed
}

// life is the context of a prediction, which is made when it is first wanted. The caller holds mu.
func (f *File) life(id int64) context.Context {
	if id == fileLife || f.closed {
		return f.ctx
	}
	p, ok := f.predictions[id]
	if !ok {
		p.ctx, p.end = context.WithCancel(f.ctx)
		f.predictions[id] = p
	}
	return p.ctx
}

// settle ends the predictions that are over, and brings the count of active lanes up to date. The caller holds mu.
func (f *File) settle() {
	for _, id := range f.window.ended {
		if p, ok := f.predictions[id]; ok {
			p.end()
			delete(f.predictions, id)
		}
	}
	f.window.ended = f.window.ended[:0]
	f.tally()
	active := f.window.active()
	if f.closed {
		active = 0
	}
	if active != f.active {
		f.p.active.Add(active - f.active)
		f.active = active
	}
}

// claim counts on the file's ending up in memory when it is read at random and memory is not counted on for others; and
// gives up when that turns out to be wrong, or when it rests. The caller holds mu.
func (f *File) claim() {
	switch {
	case f.claimed && !f.window.wantsAll():
		f.claimed = false
		f.p.claimed.Add(-f.version.Size)
		f.window.setFits(false)
	case !f.claimed && !f.closed && f.window.wantsAll() && f.p.claim(f.version.Size):
		f.claimed = true
		f.window.setFits(true)
	}
}

// tally moves the window's counts to the totals. The caller holds mu.
func (f *File) tally() {
	t, c := &f.window.tally, &f.p.counters
	if *t == (tally{}) {
		return
	}
	c.sequential.Add(t.sequential)
	c.random.Add(t.random)
	c.completed.Add(t.completed)
	c.dropped.Add(t.dropped)
	*t = tally{}
}

// count adds an answer of the source to the totals.
func (f *File) count(class objstore.Class, r objstore.Range, accepted, started int64) {
	c := &f.p.counters
	if class == objstore.ClassDemand {
		c.demandBytes.Add(started)
	} else {
		c.prefetchBytes.Add(started)
	}
	if accepted < r.Len {
		c.short.Add(1)
	}
}

// rest ends what was predicted for the file's lanes that nobody has read for idleAfter.
func (f *File) rest() {
	before := f.p.now().Add(-idleAfter)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.idle(before)
	f.claim()
	f.settle()
}

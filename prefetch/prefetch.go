package prefetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// idleAfter is when a lane's claim to the budget ends if nobody reads there: longer than a training step takes,
	// shorter than the others would like to wait. What was fetched stays in the cache until somebody needs the room.
	idleAfter = 10 * time.Second
	// sweepEvery bounds what the search for idle lanes costs.
	sweepEvery = 2 * time.Second
)

// Source is where bytes are had from and asked for ahead of need: the cache.
type Source interface {
	// Read waits until all bytes of r are here and returns them in order, pinned until release is called (exactly once).
	// What is neither here nor under way is fetched on demand. ctx ends only the waiting. waited tells whether they were
	// not all here when the call began.
	Read(ctx context.Context, v objstore.Version, r objstore.Range) (data [][]byte, release func(), waited bool, err error)

	// Fetch asks for r to be brought and never waits for the network. For ClassDemand, first is the offset somebody waits
	// for: its page comes first. ctx is the prediction's life: while it lives the bytes are kept for their reader; when it
	// ends, what is under way and nobody else wants is cancelled. accepted counts the bytes from r.Off on that are here,
	// under way or started now: less than r.Len means that memory is short. started counts those newly asked from the
	// store.
	Fetch(ctx context.Context, v objstore.Version, r objstore.Range, class objstore.Class, first int64) (accepted, started int64)

	// HandedOver tells that the reader of r keeps the bytes itself and will not ask for them again soon.
	HandedOver(v objstore.Version, r objstore.Range)

	// Local tells whether bytes of v may come from where the store is not asked, although they are not here yet.
	Local(v objstore.Version) bool

	// CameLocal tells whether the byte of v at an offset, which a Read has pinned, came from there after all.
	CameLocal(v objstore.Version, off int64) bool
}

// Config says what there is to work with.
type Config struct {
	// Source is required.
	Source Source

	// Budget is how many bytes the windows of all lanes may together reach ahead of their readers. Required.
	Budget int64

	// Memory is how many bytes Source can hold. A file that is no larger is expected to end up there when it is read at
	// random long enough, so its chunks are completed. 0 means twice Budget: half for what is foreseen, and half for what
	// readers are in the middle of and what they may read again.
	Memory int64

	// Now is the clock by which idle lanes are found. nil means time.Now.
	Now func() time.Time
}

func (c *Config) validate() error {
	if c.Source == nil {
		return errors.New("prefetch: no source")
	}
	if c.Budget < BlockSize {
		return fmt.Errorf("prefetch: a budget of %d bytes is less than a block", c.Budget)
	}
	if c.Memory != 0 && c.Memory < c.Budget {
		return fmt.Errorf("prefetch: a budget of %d bytes does not fit in memory of %d", c.Budget, c.Memory)
	}
	return nil
}

// Prefetcher decides for all open files when to ask for what.
type Prefetcher struct {
	source Source
	memory int64
	budget int64
	now    func() time.Time

	// active is how many lanes share the budget: those that are sequential and not at their end, and those with a read
	// under way.
	active atomic.Int64

	counters counters

	// claimed is the sizes of the files that are counted on to end up in memory.
	// INVARIANT: 0 <= claimed <= memory.
	claimed atomic.Int64

	mu    sync.Mutex // guards what is below; never held together with a File's lock
	files map[*File]struct{}
	swept time.Time // when idle lanes were last looked for
}

// New makes a prefetcher. It starts nothing and needs no closing; its files do.
func New(cfg Config) (*Prefetcher, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Memory == 0 {
		cfg.Memory = 2 * cfg.Budget
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Prefetcher{
		source: cfg.Source,
		memory: cfg.Memory,
		budget: cfg.Budget,
		now:    cfg.Now,
		files:  make(map[*File]struct{}),
	}, nil
}

// Open starts following the reads of one version. There should be one File per open version, shared by all its handles,
// since lanes are found by offset and not by handle. It does no I/O. The caller closes the File.
func (p *Prefetcher) Open(v objstore.Version) *File {
	f := newFile(p, v)
	p.mu.Lock()
	p.files[f] = struct{}{}
	p.mu.Unlock()
	return f
}

// forget takes f out of the open files.
func (p *Prefetcher) forget(f *File) {
	p.mu.Lock()
	delete(p.files, f)
	p.mu.Unlock()
}

// allot divides what there is among the active lanes.
func (p *Prefetcher) allot() allotment { return allot(p.budget, p.active.Load()) }

// claim takes size bytes of memory for a file that is to end up there, unless others have claimed them.
func (p *Prefetcher) claim(size int64) bool {
	for {
		old := p.claimed.Load()
		if old+size > p.memory {
			return false
		}
		if p.claimed.CompareAndSwap(old, old+size) {
			return true
		}
	}
}

// sweep lets idle lanes of all files give way, at most once in sweepEvery. Readers call it, so it needs no goroutine:
// where nobody reads, nobody needs what idle lanes hold.
func (p *Prefetcher) sweep() {
	now := p.now()
	p.mu.Lock()
	if now.Sub(p.swept) < sweepEvery {
		p.mu.Unlock()
		return
	}
	p.swept = now
	files := slices.Collect(maps.Keys(p.files))
	p.mu.Unlock()
	for _, f := range files {
		f.rest()
	}
}

// Stats are totals since New, and what is open now.
type Stats struct {
	Files int // open now

	Reads     int64 // calls of File.Read
	ReadBytes int64 // bytes they returned

	DemandBytes   int64 // newly asked from the store because a reader waited
	PrefetchBytes int64 // newly asked from the store ahead of a reader

	SequentialReads int64 // reads that belonged to a sequential lane
	RandomReads     int64 // reads for which requests were shrunk to blocks
	CompletedChunks int64 // chunks of randomly read files that were completed because they were touched again

	ShortAnswers int64 // times Source took less than it was asked to
	LanesDropped int64 // lanes that gave way to newer ones or were idle
	ActiveLanes  int64 // lanes that share the budget now
}

type counters struct {
	reads, readBytes           atomic.Int64
	demandBytes, prefetchBytes atomic.Int64
	sequential, random         atomic.Int64
	completed, short, dropped  atomic.Int64
}

// Stats is a snapshot; its fields may be a read apart.
func (p *Prefetcher) Stats() Stats {
	c := &p.counters
	p.mu.Lock()
	files := len(p.files)
	p.mu.Unlock()
	return Stats{
		Files:           files,
		Reads:           c.reads.Load(),
		ReadBytes:       c.readBytes.Load(),
		DemandBytes:     c.demandBytes.Load(),
		PrefetchBytes:   c.prefetchBytes.Load(),
		SequentialReads: c.sequential.Load(),
		RandomReads:     c.random.Load(),
		CompletedChunks: c.completed.Load(),
		ShortAnswers:    c.short.Load(),
		LanesDropped:    c.dropped.Load(),
		ActiveLanes:     p.active.Load(),
	}
}

// Package prefetch decides what will be wanted next, and when to ask for it.
package prefetch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Source is where bytes are had from and asked for ahead of need: the cache.
type Source interface {
	// Read waits until all bytes of r are here and returns them in order, pinned until release is called (exactly once).
	// What is neither here nor under way is fetched on demand. ctx ends only the waiting.
	Read(ctx context.Context, v objstore.Version, r objstore.Range) (data [][]byte, release func(), err error)

	// Fetch asks for r to be brought and never waits for the network. For ClassDemand, first is the offset somebody waits
	// for: its page comes first. ctx is the prediction's life: while it lives the bytes are kept for their reader; when it
	// ends, what is under way and nobody else wants is cancelled. accepted counts the bytes from r.Off on that are here,
	// under way or started now: less than r.Len means that memory is short. started counts those newly asked from the store.
	Fetch(ctx context.Context, v objstore.Version, r objstore.Range, class objstore.Class, first int64) (accepted, started int64)
}

// Config says what there is to work with.
type Config struct {
	// Source is required.
	Source Source

	// Memory is how many bytes Source can hold. A file that is no larger is expected to end up there when it is read at
	// random long enough, so its chunks are completed. Required.
	Memory int64

	// Budget is how many bytes the windows of all lanes may together reach ahead of their readers. 0 means half of Memory:
	// the other half is what readers are in the middle of, and what was read and may be read again.
	Budget int64

	// Now is the clock by which idle lanes are found. nil means time.Now.
	Now func() time.Time
}

func (c *Config) validate() error {
	if c.Source == nil {
		return errors.New("prefetch: no source")
	}
	if c.Memory < BlockSize {
		return fmt.Errorf("prefetch: memory of %d bytes is less than a block", c.Memory)
	}
	if c.Budget < 0 || c.Budget > c.Memory {
		return fmt.Errorf("prefetch: budget of %d bytes is not within memory of %d", c.Budget, c.Memory)
	}
	return nil
}

// Prefetcher decides for all open files when to ask for what.
type Prefetcher struct {
	source Source
	memory int64
	budget int64
	now    func() time.Time

	// active is how many lanes share the budget: those that are sequential and not at their end, and those with a read under way.
	active atomic.Int64

	counters counters

	mu      sync.Mutex // guards what is below; never held together with a File's lock
	files   map[*File]struct{}
	claimed int64 // sizes of the files that are counted on to end up in memory
	swept   time.Time
}

// New makes a prefetcher. It starts nothing and needs no closing; its files do.
func New(cfg Config) (*Prefetcher, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Budget == 0 {
		cfg.Budget = max(cfg.Memory/2, BlockSize)
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
	ctx, cancel := context.WithCancel(context.Background())
	f := &File{p: p, version: v, ctx: ctx, cancel: cancel}
	p.mu.Lock()
	p.files[f] = struct{}{}
	p.mu.Unlock()
	return f
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

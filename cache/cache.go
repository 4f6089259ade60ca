package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// MinMemory is the least memory a cache works with: two whole chunks, in bytes.
const MinMemory = 2 * chunkSize

// Config says where bytes come from and how much memory may hold them.
type Config struct {
	Opener objstore.Opener // where missing bytes come from; retries are its business
	Memory int64           // bytes, a hard limit; at least MinMemory
	Disk   Disk            // where bytes are kept longer; nil for nowhere. The cache closes it
	Policy Policy          // what of the bytes read is kept on Disk
	Near   func() bool     // whether a cache in front of the store answers now, which keeps large objects; nil for never. It must not block
	Reader uint64          // stands for the credentials that Opener uses; means something with Disk only
	Log    *slog.Logger    // nil for none
}

func (cfg *Config) validate() error {
	if cfg.Opener == nil {
		return fmt.Errorf("cache: no opener: %w", objstore.ErrInvalid)
	}
	if cfg.Memory < MinMemory {
		return fmt.Errorf("cache: %d bytes of memory are fewer than %d: %w", cfg.Memory, int64(MinMemory), objstore.ErrInvalid)
	}
	if cfg.Near == nil {
		cfg.Near = func() bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Cache holds bytes of versions in memory. Its methods may be called at the same time from many goroutines.
type Cache struct {
	// Dependencies.
	source objstore.Opener // what fills read from
	disk   Disk            // what they ask before; nil for nothing
	reader uint64          // whose credentials source uses
	log    *slog.Logger

	// Lifetime. Goroutines are the fills, the ends of predictions, and the callers of Read that wait.
	life       context.Context // of all fills
	endLife    context.CancelFunc
	goroutines sync.WaitGroup // added to under mu while closed is false
	unmap      func() error

	// Counters of the hit path.
	hits      atomic.Int64
	bytesRead atomic.Int64

	stored storedContents
	stall  stall // of disk

	lastDisk atomic.Pointer[disk.Stats] // nil before the first

	// starving is how many readers wait for memory; changed under mu, read by those who let go of a pin.
	starving atomic.Int32

	// mu guards all below and all of the chunks. A hit takes it for reading; it is never held while anybody waits or
	// while bytes move.
	mu          sync.RWMutex
	closed      bool
	ledger      ledger
	arena       *arena
	slab        *slab
	index       index
	clock       clock
	handover    handover
	keeper      keeper
	asides      map[*chunk]struct{}             // set aside, see stall
	unkept      map[*chunk]struct{}             // the disk had no time for some of their blocks; see keep
	predictions map[<-chan struct{}]*prediction // by the channel that their context closes
	coming      int64                           // bytes under way for FetchSpare
	queue       []*turn                         // readers who wait for memory; the first is served first
	stats       Stats
}

// New makes a cache and reserves its address space. Memory is committed as it is used.
func New(cfg Config) (*Cache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b, err := mapped(addressSpace(cfg.Memory))
	if err != nil {
		return nil, err
	}
	return newCache(cfg, b), nil
}

func newCache(cfg Config, b backing) *Cache {
	c := &Cache{
		source: cfg.Opener, disk: cfg.Disk, reader: cfg.Reader, log: cfg.Log, unmap: b.close,
		ledger:      ledger{limit: cfg.Memory},
		index:       index{objects: make(map[objstore.Version]*object)},
		clock:       clock{limit: cfg.Memory},
		handover:    newHandover(cfg.Memory),
		keeper:      newKeeper(cfg.Policy, cfg.Near),
		stored:      newStoredContents(),
		stall:       stall{log: cfg.Log},
		asides:      make(map[*chunk]struct{}),
		unkept:      make(map[*chunk]struct{}),
		predictions: make(map[<-chan struct{}]*prediction),
	}
	c.life, c.endLife = context.WithCancel(context.Background())
	c.arena = newArena(&c.ledger, b)
	c.slab = newSlab(c.arena)
	return c
}

// Close ends all fills, fails the reads that wait with os.ErrClosed, and gives the memory back once all have ended.
// Bytes must not be in use any more: where a read was not released, its memory is left alone and the error says so, and
// so are disk and memory where the disk has not answered yet. A second Close does nothing.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.endLife()
	for done, p := range c.predictions {
		if p.stop() {
			delete(c.predictions, done)
			c.goroutines.Done()
		}
	}
	c.serveNext() // who leaves the queue serves the next
	c.mu.Unlock()
	c.goroutines.Wait()
	if n := c.stall.out(); n > 0 || c.Stats().Fills > 0 { // the disk, and memory of ours, are still in use
		return fmt.Errorf("cache: closed while the disk has not answered %d calls", n)
	}
	var err error
	if c.disk != nil {
		if err = c.closeDisk(); errors.Is(err, errUnclosed) {
			return err
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	pinned := len(c.asides)
	for _, o := range c.index.objects {
		for _, k := range o.all() {
			if k.pins.Load() > 0 {
				pinned++
				continue
			}
			c.discard(k)
		}
	}
	if pinned > 0 {
		return errors.Join(err, fmt.Errorf("cache: closed while reads of %d chunks are not released", pinned))
	}
	return errors.Join(err, c.unmap())
}

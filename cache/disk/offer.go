package disk

import (
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

// Offer is what the cache would like to have kept: blocks of a chunk whose bytes it has in memory.
type Offer struct {
	Version objstore.Version
	Chunk   int64
	Data    []byte // the chunk, all its length; only the bytes of Blocks count, and they stay as they are until Done
	Blocks  Blocks // each whole
	Reader  uint64 // whose credentials they came by: see Tier.Admits
	Done    func() // called exactly once, by another goroutine, when Data is not needed any more
}

// Valid tells whether the offer is of a chunk of its version, and of blocks that the chunk has.
func (o *Offer) Valid() bool {
	return o.Chunk >= 0 && o.Chunk*ChunkSize < o.Version.Size && len(o.Data) == ChunkLength(o.Version, o.Chunk) &&
		o.Blocks&^allBlocks(len(o.Data)) == 0
}

func (o *Offer) bytes() int64 {
	n, _ := weigh(len(o.Data), o.Blocks)
	return n
}

// queue is what waits to be written.
type queue struct {
	limit  int64 // bytes
	waits  atomic.Int64
	offers chan *Offer
}

const (
	// maxQueued is how many offers wait at most: small objects, mostly.
	maxQueued = 4096
	// batchBytes and batchOffers are what is written between two commits at most: enough that a commit, which costs a
	// few milliseconds, does not count.
	batchBytes  = 128 << 20
	batchOffers = 1024
)

// Offer has blocks written behind the reader's back. It never waits: false when the disk is behind, or does not work,
// and then Done is not called.
func (t *Tier) Offer(o *Offer) bool {
	if !o.Valid() {
		panic("disk: an offer that is not a chunk")
	}
	n := o.bytes()
	if !t.health.writable(t.now()) {
		t.stats.skipped.Add(n)
		return false
	}
	t.closing.RLock()
	defer t.closing.RUnlock()
	if t.closed {
		return false
	}
	if waits := t.queue.waits.Add(n); waits <= t.queue.limit || waits == n { // a chunk is taken also by a queue that is shorter
		select {
		case t.queue.offers <- o:
			return true
		default:
		}
	}
	t.queue.waits.Add(-n)
	t.stats.skipped.Add(n)
	return false
}

// done is the end of an offer.
func (t *Tier) done(o *Offer) {
	t.queue.waits.Add(-o.bytes())
	o.Done()
}

// Idle tells whether the queue has room for what was refused before.
func (t *Tier) Idle() bool {
	return t.queue.waits.Load() < t.queue.limit/2 && len(t.queue.offers) < maxQueued/2 && t.health.writable(t.now())
}

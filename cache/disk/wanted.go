package disk

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

// wanted are versions that somebody wants to have here ahead of their use: the latest ones, of no more bytes than there
// is room for. What is offered of them is kept, for which goes what is worth least, however often that is asked for,
// but for what is wanted too.
type wanted struct {
	mu    sync.Mutex // guards what is below
	sizes *simplelru.LRU[versionHash, int64]
	bytes int64 // the sum of sizes
}

// maxWanted bounds them, and with them their memory.
const maxWanted = 1 << 16

func newWanted() *wanted {
	w := &wanted{}
	w.sizes, _ = simplelru.NewLRU(maxWanted, func(_ versionHash, size int64) { w.bytes -= size }) // fails for a size that is not positive
	return w
}

func (w *wanted) add(h versionHash, size, room int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.sizes.Get(h); ok {
		return
	}
	w.bytes += size
	w.sizes.Add(h, size)
	for w.bytes > room && w.sizes.Len() > 1 {
		w.sizes.RemoveOldest()
	}
}

func (w *wanted) has(h versionHash) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sizes.Contains(h)
}

// Wanted has what is offered of a version from now on be kept, until others are wanted that take all the room.
func (t *Tier) Wanted(v objstore.Version) {
	t.wanted.add(hashVersion(v), v.Size, t.space.limit-t.space.ofIndex(t.catalog.index.space.Load()))
}

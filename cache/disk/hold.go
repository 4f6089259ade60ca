package disk

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// Held is a chunk on disk that is being read: a Hold, or in another process a Loan.
type Held interface {
	// Blocks are those that are here.
	Blocks() Blocks
	// Read reads bytes that begin at an offset in the chunk and lie in one block. false when the bytes could not be had:
	// then they are forgotten, and what is in b means nothing.
	Read(b []byte, off int) bool
	// Release is called once.
	Release()
}

// Hold keeps a chunk on disk while it is read.
type Hold struct {
	tier   *Tier
	key    chunkKey
	record chunkRecord
	length int // bytes in the chunk
	file   *dataFile

	mu  sync.Mutex // guards bad
	bad Blocks     // to be dropped when the hold ends: not while somebody may read them
}

// Hold finds a chunk: nil when nothing of it is here. The caller releases what it gets. It counts as a use of the
// chunk.
func (t *Tier) Hold(v objstore.Version, chunk int64) Held {
	t.Used(v, chunk)
	hold := t.hold(v, chunk)
	if hold == nil {
		t.stats.misses.Add(1)
		return nil
	}
	t.stats.hits.Add(1)
	return hold
}

func (t *Tier) hold(v objstore.Version, chunk int64) *Hold {
	h := hashVersion(v)
	if !t.health.readable() {
		return nil
	}
	r, ok, err := t.catalog.version(h)
	if err != nil {
		t.fail("read index", err)
	}
	if !ok || err != nil || r.version != v {
		return nil
	}
	hold := &Hold{tier: t, key: chunkKey{r.id, uint32(chunk)}, length: chunkLength(v.Size, uint32(chunk))}
	t.uses.hold(hold.key)
	if !hold.open() {
		t.uses.free(hold.key)
		return nil
	}
	return hold
}

func (h *Hold) open() (ok bool) {
	t := h.tier
	var err error
	if h.record, ok, err = t.catalog.chunk(h.key); err != nil {
		t.fail("read index", err)
	}
	if !ok || err != nil {
		return false
	}
	h.file, err = t.files.use(h.key.id, -1)
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed it
		t.stats.lost.Add(1)
		t.drop(h.key, h.record, h.record.present)
		return false
	}
	if err != nil {
		t.fail("open", err)
		return false
	}
	return true
}

// Blocks are those that are here.
func (h *Hold) Blocks() Blocks { return h.record.present }

// Read implements Held. The first time in a process's life that the block is used it is read as a whole and compared
// with its checksum.
func (h *Hold) Read(b []byte, off int) bool {
	t, block := h.tier, off/BlockSize
	at := int64(h.key.index)*ChunkSize + int64(off)
	if t.checked.has(h.key, block) {
		if err := h.file.readAt(b, at); err != nil {
			return h.lost(block, err)
		}
		t.stats.bytesRead.Add(int64(len(b)))
		return true
	}
	sum, err := h.file.readSummed(b, off, blockPiece{chunk: int64(h.key.index), length: h.length, block: block})
	if err != nil {
		return h.lost(block, err)
	}
	if sum != h.record.sums[block] {
		t.stats.corrupt.Add(1)
		t.cfg.Log.Warn("a block on the cache disk is not what was written; it is fetched again",
			"key", t.keyOf(h.key.id), "offset", int64(h.key.index)*ChunkSize+int64(block)*BlockSize)
		return h.spoilt(block)
	}
	t.checked.add(h.key, 1<<block)
	t.stats.bytesRead.Add(int64(len(b)))
	return true
}

// lost is how reading a block fails.
func (h *Hold) lost(block int, err error) bool {
	if isDiskError(err) {
		h.tier.fail("read", err)
		h.tier.health.misread(h.tier.now())
	} else {
		h.tier.stats.lost.Add(1)
	}
	return h.spoilt(block)
}

// spoilt has a block dropped when the hold ends.
func (h *Hold) spoilt(block int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bad |= 1 << block
	return false
}

// Release ends the hold.
func (h *Hold) Release() {
	if bad := h.end(); bad != 0 {
		h.tier.drop(h.key, h.record, bad)
	}
}

// end lets go of the chunk, and tells which blocks turned out to be bad.
func (h *Hold) end() (bad Blocks) {
	h.tier.files.release(h.file)
	h.tier.uses.free(h.key)
	return h.bad
}

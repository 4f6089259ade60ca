package disk

import "sync"

// checkedBlocks remembers which blocks need not be compared with their checksums any more in this process's life. It
// has only chunks that are in the catalog, each in some 25 bytes.
type checkedBlocks struct {
	mu     sync.Mutex // guards everything below
	chunks map[uint64]Blocks
}

func newCheckedBlocks() *checkedBlocks { return &checkedBlocks{chunks: make(map[uint64]Blocks)} }

// maxIndexBits is how many bits the index of a chunk has: objects have at most 48.8 TiB, as the store says.
const maxIndexBits = 22

// packed stands for a chunk. That other objects and numbers share one does not matter: there are none.
func (k chunkKey) packed() uint64 { return k.id<<maxIndexBits | uint64(k.index) }

func (c *checkedBlocks) has(k chunkKey, block int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chunks[k.packed()].Has(block)
}

func (c *checkedBlocks) all(k chunkKey, blocks Blocks) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return blocks&^c.chunks[k.packed()] == 0
}

func (c *checkedBlocks) add(k chunkKey, blocks Blocks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chunks[k.packed()] |= blocks
}

// forget is for blocks that are not there any more: what is written in their place has other checksums.
func (c *checkedBlocks) forget(k chunkKey, blocks Blocks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.chunks[k.packed()] &^ blocks; left != 0 {
		c.chunks[k.packed()] = left
	} else {
		delete(c.chunks, k.packed())
	}
}

package disk

import "sync"

// uses says what must not be evicted: chunks that are being read, and versions that are leased.
type uses struct {
	mu     sync.Mutex // guards everything below
	chunks map[chunkKey]int
	leases map[uint64]int // by number of the version
}

func newUses() *uses { return &uses{chunks: make(map[chunkKey]int), leases: make(map[uint64]int)} }

// hold keeps a chunk where it is until free. It must be called before the chunk is looked up.
func (u *uses) hold(k chunkKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.chunks[k]++
}

func (u *uses) free(k chunkKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.chunks[k]--; u.chunks[k] == 0 {
		delete(u.chunks, k)
	}
}

// lease is hold for a whole version.
func (u *uses) lease(id uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.leases[id]++
}

func (u *uses) unlease(id uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.leases[id]--; u.leases[id] == 0 {
		delete(u.leases, id)
	}
}

// unlessUsed calls evict when nobody uses the chunk, here or by a lease that another process has, so that nobody who
// comes meanwhile finds it.
func (u *uses) unlessUsed(k chunkKey, leases keeper, evict func()) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.chunks[k] > 0 || u.leases[k.id] > 0 || leases.keeps() {
		return false
	}
	evict()
	return true
}

// isLeased tells whether this process has given a lease of a version.
func (u *uses) isLeased(id uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.leases[id] > 0
}

// leased is how many versions are.
func (u *uses) leased() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.leases)
}

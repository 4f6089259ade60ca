package main

import (
	"hash/maphash"
	"sync"
)

// movedKeys tells hashed keys that were there from those that a migration has made itself: its listing goes on while objects move to where it has not been yet. It remembers
// a hash of those keys only that the listing had still to pass when they were made, since the others are not met: some tens of bytes each, for as long as the migration lasts. Methods may be called at the same time.
//
// INVARIANT: ahead has the hashes of those keys that were beyond at when their making began and has not failed; true for those that were met since.
type movedKeys struct {
	seed maphash.Seed

	mu    sync.Mutex // guards what follows
	at    string     // how far the listing is
	ahead map[uint64]bool
	there int // hashed keys that were met, and not made here
}

func newMovedKeys() *movedKeys {
	return &movedKeys{seed: maphash.MakeSeed(), ahead: make(map[uint64]bool)}
}

// pass notes that the listing is at a key.
func (m *movedKeys) pass(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = key
}

// meet notes that the listing has met a hashed key.
func (m *movedKeys) meet(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hash := maphash.String(m.seed, key)
	if _, made := m.ahead[hash]; made {
		m.ahead[hash] = true
		return
	}
	m.there++
}

// making notes that an object is about to be moved to a key.
func (m *movedKeys) making(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key > m.at {
		m.ahead[maphash.String(m.seed, key)] = false
	}
}

// failed notes that nothing was moved there: what the listing has met was somebody else's.
func (m *movedKeys) failed(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hash := maphash.String(m.seed, key)
	if m.ahead[hash] {
		m.there++
	}
	delete(m.ahead, hash)
}

// before is how many hashed keys were there already, as far as the listing has come.
func (m *movedKeys) before() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.there
}

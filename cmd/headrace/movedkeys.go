package main

import (
	"hash/maphash"
	"sync"
)

// movedKeys tells hashed keys that were there from those that a migration has made itself: its listing goes on while
// objects move to where it has not been yet. It remembers a hash of those keys only that the listing had still to pass
// when they were made, since the others are not met. Methods may be called at the same time.
//
// The listing meets hashed keys in the order of their hash, so of what was made only the part with one beginning is in
// memory, and the rest is in a file: eight bytes a key there, and some ten megabytes here for a migration of any size.
//
// INVARIANT: underway has the keys whose making has begun ahead of the listing, and not ended; true for those that were
// met since.
// INVARIANT: made has those of which it has ended well while the listing had still to pass them, and not met them.
type movedKeys struct {
	seed maphash.Seed

	mu       sync.Mutex // guards what follows; held across reads and writes of the file, which nobody but this migration waits for
	at       string     // how far the listing is
	underway map[string]bool
	made     hashSpool
	part     int                 // of which made is in memory; -1 at first
	loaded   map[uint64]struct{} // that part
	there    int                 // hashed keys that were met, and not made here
}

func newMovedKeys() *movedKeys {
	return &movedKeys{seed: maphash.MakeSeed(), underway: make(map[string]bool), part: -1}
}

// close gives the file up.
func (m *movedKeys) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made.close()
}

// partOf is the part that a hashed key is in: by its first two digits.
func partOf(key string) int {
	digit := func(c byte) int {
		if c <= '9' {
			return int(c - '0')
		}
		return int(c-'a') + 10
	}
	return digit(key[0])<<4 | digit(key[1])
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
	if _, ok := m.underway[key]; ok {
		m.underway[key] = true
		return
	}
	if part := partOf(key); part != m.part {
		m.part, m.loaded = part, m.made.part(part)
	}
	if _, made := m.loaded[maphash.String(m.seed, key)]; !made {
		m.there++
	}
}

// making notes that an object is about to be moved to a hashed key. done or failed follows.
func (m *movedKeys) making(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key > m.at {
		m.underway[key] = false
	}
}

// done notes that it was.
func (m *movedKeys) done(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	met, ahead := m.underway[key]
	delete(m.underway, key)
	if !ahead || met || key <= m.at {
		return // the listing does not meet it any more
	}
	hash, part := maphash.String(m.seed, key), partOf(key)
	m.made.add(part, hash)
	if part == m.part {
		m.loaded[hash] = struct{}{}
	}
}

// failed notes that nothing was moved there: what the listing has met was somebody else's.
func (m *movedKeys) failed(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.underway[key] {
		m.there++
	}
	delete(m.underway, key)
}

// before is how many hashed keys were there already, as far as the listing has come.
func (m *movedKeys) before() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.there
}

package disk

import (
	"io"
	"os"

	"github.com/headrace/headrace/objstore"
)

// What the tier asks of its popularity, with the lock.

func (t *Tier) touch(h uint64) {
	t.popularityMu.Lock()
	defer t.popularityMu.Unlock()
	t.popularity.touch(h)
}

// Used counts a use of a chunk that did not come by here.
func (t *Tier) Used(v objstore.Version, chunk int64) { t.touch(hashOf(hashVersion(v), chunk)) }

func (t *Tier) brought(n int64) {
	t.popularityMu.Lock()
	defer t.popularityMu.Unlock()
	t.popularity.brought(n)
}

func (t *Tier) worth(h uint64) int {
	t.popularityMu.Lock()
	defer t.popularityMu.Unlock()
	return t.popularity.worth(h)
}

func (t *Tier) admits(newcomer uint64, worth int) bool {
	t.popularityMu.Lock()
	defer t.popularityMu.Unlock()
	return t.popularity.admits(newcomer, worth)
}

func (t *Tier) fitPopularity(chunks int) {
	t.popularityMu.Lock()
	defer t.popularityMu.Unlock()
	t.popularity.fit(chunks)
}

// loadPopularity takes over what was saved; what cannot be read was nobody's favourite.
func (t *Tier) loadPopularity() {
	t.popularity = newPopularity(max(t.space.limit, ChunkSize))
	f, err := os.Open(t.dir.file(popularityFile))
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // read only
	if b, err := io.ReadAll(io.LimitReader(f, maxPopularity)); err == nil {
		t.popularity.unmarshal(b)
	}
}

// maxPopularity bounds the file that is read: tables for a hundred million chunks.
const maxPopularity = 2 << 30

// savePopularity writes it down, if there is anything new.
func (t *Tier) savePopularity() {
	t.popularityMu.Lock()
	if !t.popularity.changed {
		t.popularityMu.Unlock()
		return
	}
	b := t.popularity.marshal()
	t.popularityMu.Unlock()
	temporary := t.dir.file(popularityFile + ".new")
	err := os.WriteFile(temporary, b, 0o600)
	if err == nil {
		err = os.Rename(temporary, t.dir.file(popularityFile))
	}
	if err != nil {
		t.fail("save popularity", err)
	}
}

package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// model drives a cache by random operations, one at a time, and holds it against what must be true whatever the order:
// the INVARIANTs, the right bytes or an error that somebody caused, and no wait without somebody to end it.
type model struct {
	t        *testing.T
	rng      *rand.Rand
	store    *valveStore
	cache    *Cache
	versions []objstore.Version

	waiting     []*pending
	gaveUp      map[*pending]bool
	holding     []*pending // returned, not released
	predictions []context.CancelFunc
	contexts    []context.Context
	counts      map[string]int // of what happened
}

// What happens at random to the cache must never break it: some thousands of operations, all INVARIANTs after each. Of
// all that can happen, everything must have.
func TestModel(t *testing.T) {
	var sum Stats
	counts := make(map[string]int)
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			m := runModel(t, seed, 1000)
			for what, n := range m.counts {
				counts[what] += n
			}
			st := m.cache.Stats()
			sum.MemoryWaits += st.MemoryWaits
			sum.Evictions += st.Evictions
			sum.FillsCancelled += st.FillsCancelled
			sum.Hits += st.Hits
			sum.Raised += st.Raised
			sum.FetchesShort += st.FetchesShort
			sum.Reused += st.Reused
		})
	}
	for _, what := range []string{"read", "returned", "store failed", "gave up", "given", "finished", "fetched", "predictions ended", "handed over"} {
		if counts[what] == 0 {
			t.Errorf("%q never happened: %v", what, counts)
		}
	}
	if sum.MemoryWaits == 0 || sum.Evictions == 0 || sum.FillsCancelled == 0 || sum.Hits == 0 || sum.Raised == 0 || sum.FetchesShort == 0 || sum.Reused == 0 {
		t.Errorf("some things never happened: %+v", sum)
	}
}

// FuzzModel is the same with any seed, for as long as one likes.
func FuzzModel(f *testing.F) {
	f.Add(uint64(100), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		synctest.Test(t, func(t *testing.T) { runModel(t, seed, int(steps%2000)) })
	})
}

func runModel(t *testing.T, seed uint64, steps int) *model {
	m := &model{
		t: t, rng: rand.New(rand.NewPCG(seed, 42)), store: newValveStore(),
		gaveUp: make(map[*pending]bool), counts: make(map[string]int),
	}
	cfg := Config{Opener: m.store, Memory: MinMemory}
	if err := cfg.validate(); err != nil {
		t.Fatal(err)
	}
	m.cache = newCache(cfg, onHeap(MinMemory))
	m.cache.handover.floor = MinMemory / 4
	closeAfter(t, m.cache)
	for i, size := range []int64{100, 5000, 100 << 10, 100 << 10, 300 << 10, 512<<10 + 1, 900 << 10, 3<<20 + 17, 20 << 20, 30 << 20, 200 << 20} {
		m.versions = append(m.versions, version(fmt.Sprintf("object-%d", i), size))
	}
	for i := range steps {
		m.step()
		m.verify()
		if t.Failed() {
			t.Fatalf("seed %d, step %d, after %v", seed, i, m.counts)
		}
	}
	m.drain()
	return m
}

// step does one thing.
func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 25:
		m.read()
	case n < 35:
		m.fetch()
	case n < 70:
		m.let(func(w *valve) { w.give(m.amount(w)) }, "given")
	case n < 80:
		m.let((*valve).finish, "finished")
	case n < 83:
		m.let(func(w *valve) { w.fail(m.failure()) }, "store failed")
	case n < 88:
		m.giveUp()
	case n < 94:
		m.releaseSome()
	case n < 97:
		m.handOver()
	default:
		m.endPrediction()
	}
	synctest.Wait()
}

func (m *model) happened(what string) { m.counts[what]++ }

// somewhere is a range of a random version; most ranges are as short as the kernel's.
func (m *model) somewhere(most int64) (objstore.Version, objstore.Range) {
	v := m.versions[m.rng.IntN(len(m.versions))]
	off := m.rng.Int64N(v.Size)
	switch m.rng.IntN(4) {
	case 0:
		off = off / pageSize * pageSize
	case 1:
		off = max(0, off/chunkSize*chunkSize-5000) // where chunks meet
	}
	n := int64(1) << m.rng.IntN(20)
	if m.rng.IntN(10) == 0 {
		n = 1 + m.rng.Int64N(most)
	}
	return v, objstore.Range{Off: off, Len: min(n, v.Size-off)}
}

// handOver tells of up to three chunks that their reader has them.
func (m *model) handOver() {
	v, r := m.somewhere(chunkSize)
	first := r.Off / chunkSize * chunkSize
	m.cache.HandedOver(v, objstore.Range{Off: first, Len: m.rng.Int64N(3*chunkSize) + 1}.Intersect(objstore.Range{Len: v.Size}))
	m.happened("handed over")
}

func (m *model) read() {
	v, r := m.somewhere(chunkSize)
	m.waiting = append(m.waiting, read(m.t, m.cache, v, r.Off, r.Len))
	m.happened("read")
}

func (m *model) fetch() {
	if len(m.contexts) < 4 {
		ctx, cancel := context.WithCancel(context.Background())
		m.contexts, m.predictions = append(m.contexts, ctx), append(m.predictions, cancel)
	}
	v, r := m.somewhere(40 << 20)
	class := []objstore.Class{objstore.ClassDemand, objstore.ClassPrefetch, objstore.ClassWarm}[m.rng.IntN(3)]
	before := m.cache.Stats()
	ctx := m.contexts[m.rng.IntN(len(m.contexts))]
	accepted, started := m.cache.Fetch(ctx, v, r, class, r.Off+m.rng.Int64N(r.Len))
	after := m.cache.Stats()
	if accepted < 0 || accepted > r.Len || started < 0 || started > r.Len+2*pageSize+blockSize {
		m.t.Errorf("Fetch(%v) accepted %d, started %d", r, accepted, started)
	}
	if class == objstore.ClassWarm && after.Evictions != before.Evictions {
		m.t.Error("warming has evicted")
	}
	if (after.FillsStarted == before.FillsStarted) != (started == 0) {
		m.t.Errorf("%d bytes started by %d fills", started, after.FillsStarted-before.FillsStarted)
	}
	m.happened("fetched")
}

// amount is how much a GET gives next: bytes, pages, or nearly all.
func (m *model) amount(w *valve) int64 {
	switch m.rng.IntN(3) {
	case 0:
		return 1 + m.rng.Int64N(3*pageSize)
	case 1:
		return blockSize
	}
	return 1 + m.rng.Int64N(w.r.Len)
}

func (m *model) failure() error {
	if m.rng.IntN(3) == 0 {
		return &objstore.Error{Op: "GetObject", Err: objstore.ErrChanged}
	}
	return errStore
}

// let does something to a GET under way.
func (m *model) let(do func(*valve), what string) {
	if live := m.store.live(); len(live) > 0 {
		do(live[m.rng.IntN(len(live))])
		m.happened(what)
	}
}

func (m *model) giveUp() {
	if len(m.waiting) > 0 {
		p := m.waiting[m.rng.IntN(len(m.waiting))]
		p.cancel()
		m.gaveUp[p] = true
		m.happened("gave up")
	}
}

func (m *model) releaseSome() {
	for len(m.holding) > 0 && m.rng.IntN(3) > 0 {
		i := m.rng.IntN(len(m.holding))
		p := m.holding[i]
		m.holding = slices.Delete(m.holding, i, i+1)
		p.right(m.t, m.store.fakeStore) // as right as when it was returned
		p.release()
		p.cancel()
	}
}

func (m *model) endPrediction() {
	if len(m.predictions) > 0 {
		i := m.rng.IntN(len(m.predictions))
		m.predictions[i]()
		m.predictions, m.contexts = slices.Delete(m.predictions, i, i+1), slices.Delete(m.contexts, i, i+1)
		m.happened("predictions ended")
	}
}

// verify checks what holds after each step.
func (m *model) verify() {
	m.cache.check(m.t)
	m.waiting = slices.DeleteFunc(m.waiting, func(p *pending) bool {
		if !p.returned() {
			return false
		}
		m.happened("returned")
		if p.err == nil {
			p.right(m.t, m.store.fakeStore)
			m.holding = append(m.holding, p)
			return true
		}
		if !m.gaveUp[p] && !errors.Is(p.err, errStore) && !errors.Is(p.err, objstore.ErrChanged) {
			m.t.Errorf("the read of %v of %s failed by %v, which nobody caused", p.r, p.v.Key, p.err)
		}
		p.cancel()
		return true
	})
	live := m.store.live()
	for i, a := range live {
		for _, b := range live[:i] {
			if a.v == b.v && a.r.Overlaps(b.r) {
				m.t.Errorf("%s is asked for twice: %v and %v", a.v.Key, a.r, b.r)
			}
		}
	}
	if len(m.waiting) > 0 && len(live) == 0 && len(m.holding) == 0 {
		m.t.Errorf("%d readers wait, though nothing is under way and nothing pinned", len(m.waiting))
	}
}

// drain lets everything come to its end: all who wait get their bytes.
func (m *model) drain() {
	for len(m.waiting) > 0 || len(m.holding) > 0 {
		for _, w := range m.store.live() {
			w.finish()
		}
		m.verify()
		for _, p := range m.holding {
			p.release()
			p.cancel()
		}
		m.holding = nil
		synctest.Wait()
		if m.t.Failed() {
			return
		}
	}
	for _, end := range m.predictions {
		end()
	}
	synctest.Wait()
}

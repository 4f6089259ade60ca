package cache

import (
	"math/rand/v2"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// clockSimulation is a cache of equal chunks, of which only the order of eviction is real.
type clockSimulation struct {
	clock
	has map[int]*chunk
	id  map[*chunk]int
}

func newClockSimulation(limit int) *clockSimulation {
	s := &clockSimulation{has: make(map[int]*chunk), id: make(map[*chunk]int)}
	s.limit = int64(limit) * chunkSize
	return s
}

// read reads one chunk and tells whether it was there.
func (s *clockSimulation) read(t *testing.T, id int) bool {
	if k := s.has[id]; k != nil {
		s.touch(k)
		return true
	}
	if s.young.bytes+s.old.bytes == s.limit {
		v := s.victim(func(*chunk) bool { return true })
		if v == nil {
			t.Fatal("nothing may go, though all may")
		}
		s.remove(v)
		delete(s.has, s.id[v])
		delete(s.id, v)
	}
	k := &chunk{}
	s.add(k)
	s.weigh(k, chunkSize)
	s.brought(chunkSize)
	s.touch(k)
	s.has[id], s.id[k] = k, id
	s.young.check(t)
	s.old.check(t)
	return false
}

// hits is the part of n reads that next names which is there.
func (s *clockSimulation) hits(t *testing.T, n int, next func(i int) int) float64 {
	hits := 0
	for i := range n {
		if s.read(t, next(i)) {
			hits++
		}
	}
	return float64(hits) / float64(n)
}

// An epoch over a data set twice the size of the memory finds close to half of it, the sixth as well as the second.
func TestClockLoop(t *testing.T) {
	s := newClockSimulation(128)
	loop := func(i int) int { return i % 256 }
	s.hits(t, 256, loop)
	for epoch := 2; epoch <= 6; epoch++ {
		if h := s.hits(t, 256, loop); h < 0.42 {
			t.Errorf("epoch %d: %.2f of the reads hit, want 0.42 at least", epoch, h)
		}
	}
}

// A scan takes no more than an eighth of what is in use.
func TestClockScan(t *testing.T) {
	s := newClockSimulation(128)
	used := func(i int) int { return i % 96 }
	s.hits(t, 3*96, used)
	s.hits(t, 200, func(i int) int { return 1000 + i })
	if h := s.hits(t, 96, used); h < 0.85 {
		t.Errorf("after a scan %.2f of what is in use is there, want 0.85 at least", h)
	}
}

// A working set that nobody reads any more gives way to a new one, read at random, once twice the memory was brought.
func TestClockNewWorkingSet(t *testing.T) {
	s := newClockSimulation(128)
	s.hits(t, 1024, func(i int) int { return i % 120 })
	rng := rand.New(rand.NewPCG(7, 7))
	next := func(int) int { return 1000 + rng.IntN(120) }
	s.hits(t, 3*128, next)
	s.hits(t, 2*128, next)
	if h := s.hits(t, 512, next); h < 0.9 {
		t.Errorf("%.2f of the reads hit the new working set, want 0.9 at least", h)
	}
}

// What was read again in its second turn moves to the old ring, and outlives newcomers that were read once.
func TestClockReadAgain(t *testing.T) {
	s := newClockSimulation(64)
	s.hits(t, 64, func(i int) int { return i })
	next := 1000
	for i := range 40 { // one chunk is read time and again while a scan goes by
		s.read(t, 500)
		s.hits(t, 3, func(int) int { next++; return next })
		if i > 8 && s.has[500] == nil {
			t.Fatalf("round %d: the chunk that is read all the time is gone", i)
		}
	}
	if s.has[500].ring != &s.old {
		t.Error("the chunk that is read all the time is still a newcomer")
	}
}

// What nobody has read goes before what somebody has.
func TestClockNeverRead(t *testing.T) {
	s := newClockSimulation(16)
	k := &chunk{}
	s.add(k)
	s.weigh(k, chunkSize)
	s.hits(t, 15, func(i int) int { return i })
	if v := s.victim(func(*chunk) bool { return true }); v != k {
		t.Errorf("chunk %d goes, not the one nobody read", s.id[v])
	}
}

// The clock asks before it names a victim, and names none when none may go.
func TestClockNoneMayGo(t *testing.T) {
	s := newClockSimulation(16)
	s.hits(t, 32, func(i int) int { return i })
	if v := s.victim(func(*chunk) bool { return false }); v != nil {
		t.Errorf("chunk %d goes though it may not", s.id[v])
	}
	only := s.has[31]
	if v := s.victim(func(k *chunk) bool { return k == only }); v != only {
		t.Error("the only chunk that may go was not found")
	}
	for _, k := range s.has {
		s.brought(chunkSize)
		s.touch(k)
	}
	if v := s.victim(func(k *chunk) bool { return k.ring == &s.old }); v == nil {
		t.Error("no old chunk goes when all of them were read")
	}
}

// The read that brought a chunk counts as a read of it.
func TestMissCountsAsRead(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	v := version("object", 10)
	mustRead(t, c, s, v, objstore.Range{Len: 10})
	if k := c.index.find(v, 0); k.touched.Load() <= k.entered {
		t.Errorf("came at %d, read at %d", k.entered, k.touched.Load())
	}
}

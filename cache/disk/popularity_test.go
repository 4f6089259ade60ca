package disk

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/golang-lru/arc/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// policy is a cache of chunks that all have the same size, to compare what policies find in it.
type policy interface {
	// access tells whether the chunk was there; if not it was fetched, and may be there now.
	access(chunk int) bool
}

// ours is the policy of the tier: a hand that goes around the chunks in the order in which they came, as the index has
// them.
type ours struct {
	capacity int
	p        *popularity
	here     map[int]bool
	ring     []int
	hand     int
}

const simulatedChunk = 16 << 20

func newOurs(capacity int) policy {
	o := &ours{capacity: capacity, p: newPopularity(int64(capacity) * simulatedChunk), here: map[int]bool{}}
	o.p.fit(capacity)
	return o
}

func simulatedHash(chunk int) uint64 {
	return hashOf([16]byte{byte(chunk), byte(chunk >> 8), byte(chunk >> 16)}, 0)
}

func (o *ours) access(chunk int) bool {
	h := simulatedHash(chunk)
	o.p.touch(h)
	if o.here[chunk] {
		return true
	}
	o.p.brought(simulatedChunk)
	if len(o.ring) < o.capacity {
		o.ring = append(o.ring, chunk)
		o.here[chunk] = true
		return false
	}
	best, least := 0, maxCount+1
	for range sampled {
		if w := o.p.worth(simulatedHash(o.ring[o.hand])); w < least {
			best, least = o.hand, w
		}
		o.hand = (o.hand + 1) % len(o.ring)
	}
	if o.p.admits(h, least) {
		delete(o.here, o.ring[best])
		o.ring[best] = chunk
		o.here[chunk] = true
	}
	return false
}

// theirs are the policies of golang-lru.
type theirs struct {
	get func(int) bool
	add func(int)
}

func (t theirs) access(chunk int) bool {
	if t.get(chunk) {
		return true
	}
	t.add(chunk)
	return false
}

func newLRU(capacity int) policy {
	c, _ := simplelru.NewLRU[int, struct{}](capacity, nil)
	return theirs{func(k int) bool { _, ok := c.Get(k); return ok }, func(k int) { c.Add(k, struct{}{}) }}
}

func new2Q(capacity int) policy {
	c, _ := lru.New2Q[int, struct{}](capacity)
	return theirs{func(k int) bool { _, ok := c.Get(k); return ok }, func(k int) { c.Add(k, struct{}{}) }}
}

// trace is a sequence of accesses; from warm on they count.
type trace struct {
	name    string
	chunks  []int
	warm    int
	hot     func(int) bool // if set, only these count
	atLeast float64        // of ours
	nearLRU bool           // ours must not be far below LRU
}

func traces(capacity int, rnd *rand.Rand) []trace {
	cycle := func(n, rounds int) (c []int) {
		for range rounds {
			for i := range n {
				c = append(c, i)
			}
		}
		return c
	}
	shuffled := func(n, rounds int) (c []int) {
		for range rounds {
			c = append(c, rnd.Perm(n)...)
		}
		return c
	}
	zipf := rand.NewZipf(rnd, 1.1, 10, uint64(20*capacity))
	var skewed []int
	for range 40 * capacity {
		skewed = append(skewed, int(zipf.Uint64()))
	}
	hotSet := capacity / 10
	var scan []int
	for range 3 { // what is hot is read often, and a scan over ten times the cache goes by, with the hot set read on now and then
		scan = append(scan, cycle(hotSet, 5)...)
	}
	scanAt := len(scan)
	for i := range 10 * capacity {
		scan = append(scan, 1_000_000+i)
	}
	scan = append(scan, cycle(hotSet, 1)...)
	moved := cycle(2*capacity, 6)
	for _, chunk := range cycle(2*capacity, 8) {
		moved = append(moved, 5_000_000+chunk)
	}
	return []trace{
		{name: "cycle over 2x", chunks: cycle(2*capacity, 12), warm: 4 * capacity, atLeast: 0.45},
		{name: "shuffle over 2x", chunks: shuffled(2*capacity, 12), warm: 4 * capacity, atLeast: 0.45},
		{name: "cycle over 4x", chunks: cycle(4*capacity, 12), warm: 8 * capacity, atLeast: 0.20},
		{name: "shuffle over 10x", chunks: shuffled(10*capacity, 12), warm: 20 * capacity, nearLRU: true},
		{name: "fits", chunks: shuffled(capacity*9/10, 6), warm: capacity, atLeast: 1},
		{name: "Zipf", chunks: skewed, warm: 5 * capacity, nearLRU: true},
		{name: "hot tenth after a scan of 10x", chunks: scan, warm: scanAt, hot: func(i int) bool { return i < 1_000_000 }, atLeast: 0.95},
		{name: "another dataset of 2x, from its fourth epoch on", chunks: moved, warm: 12*capacity + 6*capacity, atLeast: 0.40},
	}
}

// TestHitRates compares the policies over traces.
func TestHitRates(t *testing.T) {
	const capacity, seed = 2000, 7
	policies := []struct {
		name string
		make func(int) policy
	}{{"LRU", newLRU}, {"2Q", new2Q}, {"ARC", newARC}, {"ours", newOurs}}
	table := fmt.Sprintf("%-50s", "hit rate, %")
	for _, p := range policies {
		table += fmt.Sprintf("%8s", p.name)
	}
	for _, tr := range traces(capacity, rand.New(rand.NewPCG(seed, seed))) {
		rates := map[string]float64{}
		table += fmt.Sprintf("\n%-50s", tr.name)
		for _, p := range policies {
			c, hits, counted := p.make(capacity), 0, 0
			for i, chunk := range tr.chunks {
				hit := c.access(chunk)
				if i >= tr.warm && (tr.hot == nil || tr.hot(chunk)) {
					counted++
					if hit {
						hits++
					}
				}
			}
			rates[p.name] = float64(hits) / float64(counted)
			table += fmt.Sprintf("%8.1f", 100*rates[p.name])
		}
		if rates["ours"] < tr.atLeast {
			t.Errorf("%s: %.3f, want %.3f", tr.name, rates["ours"], tr.atLeast)
		}
		if tr.nearLRU && rates["ours"] < 0.97*rates["LRU"] {
			t.Errorf("%s: %.3f, and LRU has %.3f", tr.name, rates["ours"], rates["LRU"])
		}
	}
	t.Log("\n" + table)
}

func newARC(capacity int) policy {
	c, _ := arc.NewARC[int, struct{}](capacity)
	return theirs{func(k int) bool { _, ok := c.Get(k); return ok }, func(k int) { c.Add(k, struct{}{}) }}
}

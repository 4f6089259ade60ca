package disk

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// tierCapacity is how many objects fit into the tier that is compared with its simulation.
const tierCapacity = 256

// tierPolicy is a tier as a policy, with objects of one size, of which the least era, a chunk, has as many as the
// cache.
type tierPolicy struct {
	t    *testing.T
	tier *Tier
}

// access reads an object, and offers it if it was not there, as package cache does.
func (p tierPolicy) access(chunk int) bool {
	v := versionOf(fmt.Sprint(chunk), ChunkSize/tierCapacity)
	if h := p.tier.Hold(v, 0); h != nil {
		h.Release()
		return true
	}
	keep(p.t, p.tier, v, 0, 1)
	return false
}

// TestHitRatesOfTheTier: the tier itself finds what its policy finds in the simulation, over twice its size and after a
// scan of ten times that.
func TestHitRatesOfTheTier(t *testing.T) {
	for i, tr := range traces(tierCapacity, rand.New(rand.NewPCG(7, 7))) {
		if tr.atLeast == 0 || len(tr.chunks) > 40*tierCapacity {
			continue
		}
		p := tierPolicy{t, openTier(t, Config{Dir: filepath.Join(onDisk(t, 64*mib), fmt.Sprint(i)), Size: ChunkSize})}
		hits, counted := 0, 0
		for i, chunk := range tr.chunks {
			hit := p.access(chunk)
			if i >= tr.warm && (tr.hot == nil || tr.hot(chunk)) {
				counted++
				if hit {
					hits++
				}
			}
		}
		rate := float64(hits) / float64(counted)
		t.Logf("%-50s%8.1f", tr.name, 100*rate)
		if rate < tr.atLeast {
			t.Errorf("%s: %.3f, want %.3f", tr.name, rate, tr.atLeast)
		}
		if err := p.tier.check(); err != nil {
			t.Error(err)
		}
		if err := p.tier.Close(); err != nil {
			t.Error(err)
		}
	}
}

package disk

import (
	"fmt"
	"testing"
)

// TestWanted: what is wanted has a place in a cache that is full of what is asked for more often, and does not push out
// what else is wanted.
func TestWanted(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir(), Size: 8 * mib})
	for i := range 4 {
		v := versionOf(fmt.Sprint("old", i), 2*mib)
		keepAll(t, tier, v)
		for range maxCount {
			tier.Used(v, 0)
		}
	}
	stay := func(name string, n int) (stay int) {
		for i := range n {
			if tier.Cached(versionOf(fmt.Sprint(name, i), 2*mib)) > 0 {
				stay++
			}
		}
		return stay
	}
	keepAll(t, tier, versionOf("new0", 2*mib))
	if stay("old", 4) != 4 || stay("new", 1) != 0 {
		t.Fatal("what nobody asks for pushes out what is asked for")
	}
	for i := range 4 {
		v := versionOf(fmt.Sprint("new", i), 2*mib)
		tier.Wanted(v)
		keepAll(t, tier, v)
		if got := stay("new", 4); got != i+1 {
			t.Fatalf("%d of the %d that are wanted are here", got, i+1)
		}
	}
	for i := range 4 { // the latest are wanted most
		v := versionOf(fmt.Sprint("newer", i), 2*mib)
		tier.Wanted(v)
		keepAll(t, tier, v)
		if got := stay("newer", 4); got != i+1 {
			t.Fatalf("%d of the %d that are wanted now are here", got, i+1)
		}
	}
	larger := versionOf("larger", 3*ChunkSize) // than all the cache
	tier.Wanted(larger)
	for chunk := range int64(3) {
		keep(t, tier, larger, chunk, 0b1111)
		if tier.Present(larger, chunk) != 0b1111 {
			t.Errorf("chunk %d is not here", chunk)
		}
	}
	if s := tier.Stats(); s.Used > 8*mib {
		t.Errorf("%d bytes are used", s.Used)
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

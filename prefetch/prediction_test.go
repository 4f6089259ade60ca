package prefetch

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func wantAlive(t *testing.T, s *fakeSource, key string, want ...string) {
	t.Helper()
	if got := s.alive(key); !slices.Equal(got, want) {
		t.Fatalf("predictions live for %q, want %q", got, want)
	}
}

// What was predicted for a file ends when it is closed, and not before.
func TestCloseEndsPredictions(t *testing.T) {
	s := newFakeSource()
	p := newPrefetcher(t, s, 1<<30)
	f, other := p.Open(version("a", 64*mib)), p.Open(version("b", 1000))
	defer other.Close()
	if _, err := other.Preload(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustRead(t, f, 0, mib)
	wantAlive(t, s, "a", "[0,16M)", "[16M,32M)")
	f.Close()
	wantAlive(t, s, "a")
	wantAlive(t, s, "b", "[0,1000)")
}

// A lane that gives way to newer ones ends its predictions; a sequential one outlives any number of random reads.
func TestDroppedLaneEndsPredictions(t *testing.T) {
	s := newFakeSource()
	p := newPrefetcher(t, s, 1<<30)
	f := p.Open(version("a", 1<<40))
	defer f.Close()
	for off := range int64(6) {
		mustRead(t, f, off*mib, mib)
	}
	mustRead(t, f, 1<<39, 4096)
	if !slices.Contains(s.alive("a"), "[524288M,524304M)") {
		t.Fatalf("alive: %q", s.alive("a"))
	}
	for i := range int64(100) {
		mustRead(t, f, (100+7*i)<<30, 4096)
	}
	alive := s.alive("a")
	if slices.Contains(alive, "[524288M,524304M)") {
		t.Fatalf("alive: %q", alive)
	}
	if !slices.Contains(alive, "[0,16M)") || !slices.Contains(alive, "[16M,32M)") {
		t.Fatalf("alive: %q", alive)
	}
	if st := p.Stats(); st.LanesDropped == 0 || st.RandomReads == 0 || st.SequentialReads != 6 {
		t.Fatalf("stats %+v", st)
	}
}

// The fills of random reads outlive their lanes, but not for ever: what is kept of them is bounded by the budget.
func TestRandomPredictionsTurn(t *testing.T) {
	s := newFakeSource()
	const budget = 256 * mib
	p := newPrefetcher(t, s, budget)
	f := p.Open(version("a", 1<<40))
	defer f.Close()
	for i := range int64(1000) {
		mustRead(t, f, i<<30+i<<20, 4096)
		if n := len(s.alive("a")); i > 100 && (n < 50 || n > budget/2/mib) {
			t.Fatalf("after %d reads %d predictions live", i, n)
		}
	}
}

// A reader that rests gives its share of the budget to the others and gets it back when it reads on.
func TestIdleLanesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSource()
		p := newPrefetcher(t, s, 1<<30)
		f, g := p.Open(version("a", 1<<30)), p.Open(version("b", 1<<30))
		defer f.Close()
		defer g.Close()
		mustRead(t, f, 0, mib)
		mustRead(t, g, 0, mib)
		if n := p.Stats().ActiveLanes; n != 2 {
			t.Fatalf("%d lanes", n)
		}
		for range 10 {
			time.Sleep(2 * time.Second)
			mustRead(t, g, 0, mib)
		}
		if n := p.Stats().ActiveLanes; n != 1 {
			t.Fatalf("%d lanes after a while", n)
		}
		wantAlive(t, s, "a")
		if len(s.alive("b")) == 0 {
			t.Fatal("the busy reader lost its predictions")
		}
		mustRead(t, f, mib, mib)
		if n := p.Stats().ActiveLanes; n != 2 {
			t.Fatalf("%d lanes after it read on", n)
		}
	})
}

// A file is counted on to end up in memory while nobody else is; then its chunks are completed.
func TestClaims(t *testing.T) {
	s := newFakeSource()
	p := newPrefetcher(t, s, 512*mib) // memory of 1 GiB
	f, g := p.Open(version("a", 1<<30)), p.Open(version("b", 64*mib))
	defer g.Close()
	jump := func(f *File, n int64) {
		for i := range n {
			mustRead(t, f, i*5*mib%f.version.Size, 4096)
		}
	}
	jump(f, 100)
	jump(g, 12)
	if got := p.claimed.Load(); got != 1<<30 {
		t.Fatalf("%d bytes claimed", got)
	}
	if p.Stats().CompletedChunks == 0 {
		t.Fatal("nothing was completed")
	}
	f.Close()
	jump(g, 12)
	if got := p.claimed.Load(); got != 64*mib {
		t.Fatalf("%d bytes claimed after the first was closed", got)
	}
	// Bytes that do not stay end the claim.
	for range 100 {
		clear(s.have)
		jump(g, 12)
	}
	if got := p.claimed.Load(); got != 0 {
		t.Fatalf("%d bytes claimed for a file that does not stay", got)
	}
}

// Many readers of one file at once, with and without order, and a close in the middle of it.
func TestConcurrent(t *testing.T) {
	s := newFakeSource()
	p := newPrefetcher(t, s, 256*mib)
	f := p.Open(version("a", 2<<30))
	var wg sync.WaitGroup
	for w := range int64(16) {
		wg.Go(func() {
			off := w * 128 * mib
			for i := range int64(200) {
				if w%2 == 0 {
					off = (off + 37*mib*(i+w)) % (2 << 30)
				}
				mustRead(t, f, off, 64<<10)
				off += 64 << 10
			}
		})
	}
	wg.Go(p.sweep)
	wg.Wait()
	check(t, f.window)
	for i := range f.window.lanes {
		if n := f.window.lanes[i].reading; n != 0 {
			t.Errorf("%d reads left in lane %d", n, i)
		}
	}
	wg.Go(func() { mustRead(t, f, 0, mib) })
	f.Close()
	wg.Wait()
	wantAlive(t, s, "a")
}

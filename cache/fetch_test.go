package cache

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// fetch asks and compares the answer.
func fetch(ctx context.Context, t *testing.T, c *Cache, v objstore.Version, r objstore.Range, class objstore.Class, first, accepted, started int64) {
	t.Helper()
	gotAccepted, gotStarted := c.Fetch(ctx, v, r, class, first)
	if gotAccepted != accepted || gotStarted != started {
		t.Errorf("Fetch(%v, %v) = %d accepted, %d started, want %d, %d", r, class, gotAccepted, gotStarted, accepted, started)
	}
	synctest.Wait()
	c.check(t)
}

// 64 MiB asked ahead are four GETs of 16 MiB, and what is here or under way is not asked for again.
func TestFetchWholeChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 128<<20)
		v := version("object", 64<<20)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		fetch(ctx, t, c, v, objstore.Range{Len: 32 << 20}, objstore.ClassPrefetch, 0, 32<<20, 32<<20)
		s.at(t, v, 0).finish()
		s.at(t, v, chunkSize).give(5 << 20)
		fetch(ctx, t, c, v, objstore.Range{Len: 64 << 20}, objstore.ClassPrefetch, 0, 64<<20, 32<<20)
		fetch(ctx, t, c, v, objstore.Range{Off: 60 << 20, Len: 64 << 20}, objstore.ClassPrefetch, 0, 4<<20, 0)
		fetch(ctx, t, c, v, objstore.Range{Off: 64 << 20, Len: 1}, objstore.ClassPrefetch, 0, 0, 0)
		want := []objstore.Range{{Off: 0, Len: chunkSize}, {Off: 1 * chunkSize, Len: chunkSize}, {Off: 2 * chunkSize, Len: chunkSize}, {Off: 3 * chunkSize, Len: chunkSize}}
		var got []objstore.Range
		for _, g := range s.valves {
			got = append(got, g.r)
		}
		slices.SortFunc(got, func(a, b objstore.Range) int { return int(a.Off - b.Off) })
		if !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		for _, g := range s.live() {
			g.finish()
		}
	})
}

// A demanded chunk starts at the page somebody waits for, and its first part follows behind demand.
func TestFetchDemandedPageFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 128<<20)
		v := version("object", 64<<20)
		fetch(t.Context(), t, c, v, objstore.Range{Off: chunkSize, Len: chunkSize}, objstore.ClassDemand, chunkSize+7<<20+5, chunkSize, chunkSize)
		front, back := s.at(t, v, chunkSize+7<<20), s.at(t, v, chunkSize)
		if front.r.Len != 9<<20 || back.r.Len != 7<<20 {
			t.Errorf("asked for %v and %v", front.r, back.r)
		}
		if f, b := classOf(front), classOf(back); f != objstore.ClassDemand || b != objstore.ClassPrefetch {
			t.Errorf("as %v and %v", f, b)
		}
		front.finish()
		back.finish()
	})
}

func classOf(w *valve) objstore.Class { return objstore.TicketFrom(w.ctx, objstore.ClassWarm).Class() }

// Odd ranges are widened to pages, within the version.
func TestFetchWidensToPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 128<<20)
		v := version("object", 20<<20+100)
		fetch(t.Context(), t, c, v, objstore.Range{Off: 5000, Len: 10}, objstore.ClassPrefetch, 0, 10, pageSize)
		fetch(t.Context(), t, c, v, objstore.Range{Off: 20<<20 + 50, Len: 1000}, objstore.ClassPrefetch, 0, 50, 100)
		if got := s.byOffset(); got[0] != (objstore.Range{Off: pageSize, Len: pageSize}) || got[1] != (objstore.Range{Off: 20 << 20, Len: 100}) {
			t.Errorf("asked for %v", got)
		}
		for _, g := range s.live() {
			g.finish()
		}
	})
}

// A reader who catches up with a prefetch makes a demand fetch of it; one who is elsewhere does not.
func TestReaderRaisesPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 128<<20)
		v := version("object", 64<<20)
		fetch(t.Context(), t, c, v, objstore.Range{Len: 2 * chunkSize}, objstore.ClassPrefetch, 0, 2*chunkSize, 2*chunkSize)
		p := read(t, c, v, 5, 10)
		if a, b := classOf(s.at(t, v, 0)), classOf(s.at(t, v, chunkSize)); a != objstore.ClassDemand || b != objstore.ClassPrefetch {
			t.Errorf("the fill a reader waits for is %v, the other %v", a, b)
		}
		for _, g := range s.live() {
			g.finish()
		}
		p.right(t, s.fakeStore)
		p.release()
	})
}

// When a prediction ends, fills that nobody else wants are cancelled; another prediction, a reader and the last MiB
// keep theirs.
func TestPredictionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 128<<20)
		v := version("object", 100<<20)
		mine, end := context.WithCancel(t.Context())
		theirs, endTheirs := context.WithCancel(t.Context())
		fetch(mine, t, c, v, objstore.Range{Len: 5 * chunkSize}, objstore.ClassPrefetch, 0, 5*chunkSize, 5*chunkSize)
		fetch(theirs, t, c, v, objstore.Range{Off: chunkSize, Len: chunkSize}, objstore.ClassPrefetch, 0, chunkSize, 0)
		p := read(t, c, v, 2*chunkSize, 10)
		s.at(t, v, 3*chunkSize).give(15 << 20)
		s.at(t, v, 4*chunkSize).give(3 << 20)
		end()
		synctest.Wait()
		c.check(t)
		want := []objstore.Range{{Off: 1 * chunkSize, Len: chunkSize}, {Off: 2 * chunkSize, Len: chunkSize}, {Off: 3 * chunkSize, Len: chunkSize}}
		if got := s.byOffset(); !slices.Equal(got, want) {
			t.Errorf("under way: %v, want %v", got, want)
		}
		endTheirs()
		synctest.Wait()
		s.at(t, v, 2*chunkSize).finish()
		s.at(t, v, 3*chunkSize).finish()
		p.right(t, s.fakeStore)
		p.release()
		if got := c.Cached(v); got != 35<<20 {
			t.Errorf("%d bytes are here, want 35 MiB", got)
		}
		if n := len(s.live()); n != 0 {
			t.Errorf("%d GETs under way", n)
		}
	})
}

// A prediction that has ended before it was made asks for nothing.
func TestFetchAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		ctx, end := context.WithCancel(t.Context())
		end()
		fetch(ctx, t, c, version("object", 100), objstore.Range{Len: 100}, objstore.ClassPrefetch, 0, 0, 0)
		if len(s.valves) != 0 {
			t.Error("the store was asked")
		}
	})
}

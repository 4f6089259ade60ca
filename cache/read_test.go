package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// What is read is right at every boundary, and read a second time it costs no request.
func TestReadAtBoundaries(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	sizes := []int64{
		1, pageSize, largestCell, largestCell + 1, blockSize - 1, blockSize, blockSize + 1,
		chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 1,
	}
	for _, size := range sizes {
		v := version("boundary", size)
		for _, off := range []int64{0, size / 2, blockSize - 3, chunkSize - 5, size - 7, size - 1} {
			for _, n := range []int64{1, 10, blockSize} {
				r := objstore.Range{Off: off, Len: n}.Intersect(objstore.Range{Len: size})
				if off < 0 || r.Empty() {
					continue
				}
				mustRead(t, c, s, v, r)
				before := c.Stats()
				mustRead(t, c, s, v, r)
				if after := c.Stats(); after.FillsStarted != before.FillsStarted || after.Hits != before.Hits+1 {
					t.Errorf("size %d: reading %v twice is not a hit", size, r)
				}
				c.check(t)
			}
		}
	}
}

// A range that is not within the version, empty or longer than a chunk is refused.
func TestReadInvalid(t *testing.T) {
	c := newTestCache(t, newFakeStore(), MinMemory)
	v := version("object", 40<<20)
	for _, r := range []objstore.Range{
		{Off: -1, Len: 2},
		{Off: 0, Len: 0},
		{Off: v.Size, Len: 1},
		{Off: v.Size - 1, Len: 2},
		{Off: 0, Len: chunkSize + 1},
		{Off: 1 << 62, Len: 1 << 62},
	} {
		if _, _, _, err := c.Read(t.Context(), v, r); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("reading %v of %d bytes: %v", r, v.Size, err)
		}
	}
}

// However many readers miss the same block at once, it is asked for once, and all get it.
func TestOneFillForManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		var readers []*pending
		for i := range int64(64) {
			readers = append(readers, read(t, c, v, 3*blockSize+i*pageSize, pageSize))
		}
		s.at(t, v, 3*blockSize).finish()
		for _, p := range readers {
			p.right(t, s.fakeStore)
			p.release()
		}
		if got, want := s.valves, 1; len(got) != want {
			t.Errorf("%d GETs, want %d", len(got), want)
		}
	})
}

// A reader is woken as soon as its own bytes have come; it waits for neither its block nor the chunk.
func TestWokenAtTheWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		first := read(t, c, v, 0, pageSize)
		second := read(t, c, v, 100<<10, pageSize)
		g := s.at(t, v, 0)
		g.give(pageSize - 1)
		first.waits(t)
		g.give(1)
		first.right(t, s.fakeStore)
		second.waits(t)
		g.give(100 << 10)
		second.right(t, s.fakeStore)
		c.check(t)
		hit := read(t, c, v, 60<<10, pageSize)
		hit.right(t, s.fakeStore)
		g.finish()
		for _, p := range []*pending{first, second, hit} {
			p.release()
		}
	})
}

// The demanded page is asked for first, and what lies before it in its block by a second GET where that is worth one.
func TestDemandedPageFirst(t *testing.T) {
	const block = int64(5 * blockSize)
	v := version("object", 40<<20)
	for _, tc := range []struct {
		name   string
		off, n int64
		want   []objstore.Range
	}{
		{"in the middle", block + 300<<10 + 77, 10, []objstore.Range{
			{Off: block, Len: 300 << 10}, {Off: block + 300<<10, Len: 724 << 10},
		}},
		{"near the start", block + 64<<10, 10, []objstore.Range{{Off: block, Len: blockSize}}},
		{"over two blocks", block + blockSize - pageSize, 2 * pageSize, []objstore.Range{
			{Off: block, Len: blockSize - pageSize}, {Off: block + blockSize - pageSize, Len: blockSize + pageSize},
		}},
		{"over two chunks", chunkSize - pageSize, 2 * pageSize, []objstore.Range{
			{Off: 15 * blockSize, Len: blockSize - pageSize}, {Off: chunkSize - pageSize, Len: pageSize}, {Off: chunkSize, Len: blockSize},
		}},
		{"at the end", v.Size - 5, 5, []objstore.Range{
			{Off: v.Size - blockSize, Len: blockSize - pageSize}, {Off: v.Size - pageSize, Len: pageSize},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newValveStore()
				c := newTestCache(t, s, MinMemory)
				p := read(t, c, v, tc.off, tc.n)
				classes := make(map[int64]objstore.Class)
				for _, w := range s.live() {
					classes[w.r.Off] = objstore.TicketFrom(w.ctx, objstore.ClassWarm).Class()
				}
				got := s.byOffset()
				if !slices.Equal(got, tc.want) {
					t.Errorf("asked for %v, want %v", got, tc.want)
				}
				for _, w := range s.live() {
					needed := w.r.Overlaps(p.r)
					if (classes[w.r.Off] == objstore.ClassDemand) != needed {
						t.Errorf("%v is asked for as %v", w.r, classes[w.r.Off])
					}
				}
				for _, w := range s.live() {
					w.finish()
				}
				p.right(t, s.fakeStore)
				p.release()
			})
		})
	}
}

// byOffset are the ranges of the GETs under way, ascending.
func (s *valveStore) byOffset() []objstore.Range {
	var rs []objstore.Range
	for _, w := range s.live() {
		rs = append(rs, w.r)
	}
	slices.SortFunc(rs, func(a, b objstore.Range) int { return int(a.Off - b.Off) })
	return rs
}

// A reader that gives up fails nobody else; when the last one has, the fill is cancelled and its memory free.
func TestReadersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		a, b := read(t, c, v, 0, pageSize), read(t, c, v, pageSize, pageSize)
		a.cancel()
		synctest.Wait()
		if !errors.Is(a.err, context.Canceled) {
			t.Fatalf("the reader that gave up got %v", a.err)
		}
		if err := s.at(t, v, 0).ctx.Err(); err != nil {
			t.Fatalf("the fill another one waits for: %v", err)
		}
		b.waits(t)
		c.check(t)
		b.cancel()
		synctest.Wait()
		if n := len(s.live()); n != 0 {
			t.Errorf("%d GETs under way that nobody wants", n)
		}
		if st := c.Stats(); st.FillsCancelled != 1 || st.FillsFailed != 0 || st.Chunks != 0 {
			t.Errorf("after all gave up: %+v", st)
		}
	})
}

// A fill that nobody wants any more is let finish when it has less than a block to bring.
func TestNearlyDoneIsLetFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		p := read(t, c, v, 0, 3*blockSize)
		g := s.at(t, v, 0)
		g.give(2*blockSize + 1)
		p.cancel()
		synctest.Wait()
		g.finish()
		if got := c.Cached(v); got != 3*blockSize {
			t.Errorf("%d bytes are here, want all of the fill", got)
		}
	})
}

// A reader that comes when a fill was given up, but is not over, gets its bytes from a new one.
func TestReaderAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		stuck := make(chan struct{})
		slow := &slowToCancel{valveStore: s, let: stuck}
		c.source = slow
		a := read(t, c, v, 0, pageSize)
		a.cancel()
		synctest.Wait()
		b := read(t, c, v, 0, pageSize)
		b.waits(t)
		if n := slow.opened(); n != 1 {
			t.Fatalf("%d GETs while the first one still may write to the memory", n)
		}
		close(stuck)
		s.at(t, v, 0).finish()
		b.right(t, s.fakeStore)
		b.release()
	})
}

// slowToCancel is a store whose first GET does not notice for long that it was cancelled.
type slowToCancel struct {
	*valveStore
	let   chan struct{}
	count int
}

func (s *slowToCancel) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	if s.count++; s.count == 1 {
		<-s.let
		return nil, ctx.Err()
	}
	return s.valveStore.Open(ctx, v, r)
}

func (s *slowToCancel) opened() int {
	synctest.Wait()
	return s.count
}

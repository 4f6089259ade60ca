package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// Prefetch evicts neither what is pinned nor what is predicted and unread, and says how much it accepted; what has been
// read makes room.
func TestPrefetchKeepsPredictions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, 65<<20)
		v := version("object", 256<<20)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		fetch(ctx, t, c, v, objstore.Range{Len: 96 << 20}, objstore.ClassPrefetch, 0, 64<<20, 64<<20)
		fetch(ctx, t, c, v, objstore.Range{Off: 64 << 20, Len: chunkSize}, objstore.ClassPrefetch, 0, 0, 0)
		mustRead(t, c, s, v, objstore.Range{Len: 7<<20 + blockSize/2})
		fetch(ctx, t, c, v, objstore.Range{Off: 64 << 20, Len: chunkSize}, objstore.ClassPrefetch, 0, 0, 0)
		mustRead(t, c, s, v, objstore.Range{Off: 7 << 20, Len: 8<<20 + blockSize/4})
		fetch(ctx, t, c, v, objstore.Range{Off: 64 << 20, Len: chunkSize}, objstore.ClassPrefetch, 0, 0, 0)
		mustRead(t, c, s, v, objstore.Range{Off: 15 << 20, Len: 1 << 20})
		fetch(ctx, t, c, v, objstore.Range{Off: 64 << 20, Len: chunkSize}, objstore.ClassPrefetch, 0, chunkSize, chunkSize)
		if got := c.Cached(v); got != 64<<20 {
			t.Errorf("%d bytes are here", got)
		}
		for off := int64(chunkSize); off < 80<<20; off += chunkSize {
			before := c.Stats().Misses
			mustRead(t, c, s, v, objstore.Range{Off: off, Len: chunkSize})
			if c.Stats().Misses != before {
				t.Errorf("the predicted chunk at %d is gone", off)
			}
		}
	})
}

// What was predicted and not read is as evictable as any once the prediction has ended.
func TestEndedPredictionMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, newFakeStore(), 65<<20)
		v := version("object", 256<<20)
		ctx, end := context.WithCancel(t.Context())
		fetch(ctx, t, c, v, objstore.Range{Len: 64 << 20}, objstore.ClassPrefetch, 0, 64<<20, 64<<20)
		end()
		synctest.Wait()
		fetch(t.Context(), t, c, v, objstore.Range{Off: 64 << 20, Len: 64 << 20}, objstore.ClassPrefetch, 0, 64<<20, 64<<20)
	})
}

// Warming takes free memory and evicts nothing.
func TestWarmNeverEvicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, 65<<20)
		v := version("object", 256<<20)
		mustRead(t, c, s, v, objstore.Range{Len: chunkSize})
		fetch(t.Context(), t, c, v, objstore.Range{Off: chunkSize, Len: 64 << 20}, objstore.ClassWarm, 0, 48<<20, 48<<20)
		if c.Stats().Evictions != 0 {
			t.Error("warming has evicted")
		}
	})
}

// A demanded block is brought even at the cost of predictions, by Fetch and by Read; the rest of the chunk is not.
func TestDemandEvictsPredictions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, 65<<20)
		v, w := version("object", 64<<20), version("other", 64<<20)
		fetch(t.Context(), t, c, v, objstore.Range{Len: 64 << 20}, objstore.ClassPrefetch, 0, 64<<20, 64<<20)
		fetch(t.Context(), t, c, w, objstore.Range{Len: chunkSize}, objstore.ClassDemand, 0, blockSize, blockSize)
		mustRead(t, c, s, w, objstore.Range{Off: 20 << 20, Len: 10})
		if got := c.Cached(w); got != 2*blockSize {
			t.Errorf("%d bytes of what was demanded are here", got)
		}
	})
}

// When all memory is pinned a read waits until some is let go; one that gives up meanwhile leaves its turn to the next.
func TestReadWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 256<<20)
		var pinned []*pending
		for i := range int64(31) {
			p := read(t, c, v, i*blockSize, blockSize)
			p.right(t, s)
			pinned = append(pinned, p)
		}
		small := read(t, c, version("small", 100), 0, 100)
		quitter, next, last := read(t, c, v, 100<<20, 10), read(t, c, v, 120<<20, 10), read(t, c, v, 140<<20, 10)
		for _, p := range []*pending{small, quitter, next, last} {
			p.waits(t)
		}
		fetch(t.Context(), t, c, v, objstore.Range{Off: 200 << 20, Len: pageSize}, objstore.ClassDemand, 200<<20, 0, 0)
		hit := read(t, c, v, 5*blockSize, 10) // what is here needs no memory, and no turn
		hit.right(t, s)
		hit.release()
		small.cancel()
		quitter.cancel()
		synctest.Wait()
		if !errors.Is(quitter.err, context.Canceled) || !errors.Is(small.err, context.Canceled) {
			t.Errorf("the ones that gave up got %v, %v", small.err, quitter.err)
		}
		next.waits(t)
		for _, p := range pinned[:16] { // all of the first chunk: what is pinned is pinned with its chunk
			p.release()
		}
		next.right(t, s)
		last.right(t, s)
		next.release()
		last.release()
		for _, p := range pinned[16:] {
			if err := same(p.data, s.content(p.v, p.r)); err != nil {
				t.Error(err)
			}
			p.release()
		}
		if got := c.Stats(); got.MemoryWaits != 4 || got.MemoryPeak > MinMemory {
			t.Errorf("%+v", got)
		}
	})
}

// Who waits for much memory is not overtaken by those who would do with little: neither by readers nor by predictions.
func TestMemoryGoesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 512<<20)
		var pinned []*pending
		for i := range int64(7) { // 28 of 32 blocks
			p := read(t, c, v, i*chunkSize, 3<<20+1)
			p.right(t, s)
			pinned = append(pinned, p)
		}
		much := read(t, c, v, 200<<20, 10<<20)
		pinned[0].release()
		little := read(t, c, v, 300<<20, 10)
		much.waits(t)
		little.waits(t)
		fetch(t.Context(), t, c, v, objstore.Range{Off: 400 << 20, Len: pageSize}, objstore.ClassPrefetch, 0, 0, 0)
		for _, p := range pinned[1:] {
			p.release()
		}
		for _, p := range []*pending{much, little} {
			p.right(t, s)
			p.release()
		}
	})
}

// A fill that ends lets a reader who waits for memory try again.
func TestEndOfFillMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 64<<20)
		fetch(t.Context(), t, c, v, objstore.Range{Len: chunkSize}, objstore.ClassPrefetch, 0, chunkSize, chunkSize)
		fetch(t.Context(), t, c, v, objstore.Range{Off: chunkSize, Len: 15 << 20}, objstore.ClassPrefetch, 0, 15<<20, 15<<20)
		p := read(t, c, v, 40<<20, 2*blockSize)
		p.waits(t)
		s.at(t, v, 0).finish()
		s.at(t, v, 40<<20).finish()
		p.right(t, s.fakeStore)
		p.release()
		s.at(t, v, chunkSize).finish()
	})
}

// Readers that need two chunks each never hold one while they wait for memory for the other.
func TestReadersOfTwoChunksDoNotBlockEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 1<<30)
		var all []*pending
		for i := range int64(8) {
			all = append(all, read(t, c, v, (4*i+1)*chunkSize-6<<20, 12<<20))
		}
		for round := 0; len(s.live()) > 0; round++ {
			for _, g := range s.live() {
				g.finish()
			}
			for i, p := range all {
				if p != nil && p.returned() {
					p.right(t, s.fakeStore)
					p.release()
					all[i] = nil
				}
			}
			synctest.Wait()
			c.check(t)
		}
		for _, p := range all {
			if p != nil {
				p.waits(t)
				t.Error("a reader waits for ever")
			}
		}
	})
}

// Small objects share blocks: 64 of 100 KiB cost 7 blocks, and none wastes more than a third of its cell and a page.
func TestSmallObjectsShareBlocks(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	for i := range 64 {
		mustRead(t, c, s, version(fmt.Sprintf("small-%d", i), 100<<10), objstore.Range{Len: 100 << 10})
	}
	if got := c.Stats(); got.MemoryUsed > 7*blockSize+100<<10 || got.BytesHeld != 64*100<<10 {
		t.Errorf("64 objects of 100 KiB: %+v", got)
	}
	for length := 1; length <= largestCell; length += 97 {
		if size := cellSize(cellClass(length)); size < length || size-length > size/3+pageSize {
			t.Fatalf("%d bytes lie in a cell of %d", length, size)
		}
	}
}

// Objects of all sizes in turn leave no memory behind in cells of sizes that are not wanted any more.
func TestSizesInTurn(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	for round, size := range []int64{60 << 10, 300 << 10, 20 << 20, 100 << 10, 700 << 10, 16 << 20, 9 << 20, 60 << 10} {
		held := int64(0)
		for i := int64(0); i*size < 40<<20; i++ {
			v := version(fmt.Sprintf("%d-%d", round, i), size)
			for off := int64(0); off < size; off += 4 << 20 {
				mustRead(t, c, s, v, objstore.Range{Off: off, Len: min(4<<20, size-off)})
			}
		}
		c.check(t)
		if held = c.Stats().BytesHeld; held < 16<<20 {
			t.Errorf("of objects of %d bytes only %d bytes are here", size, held)
		}
	}
}

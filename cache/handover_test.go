package cache

import (
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// readThrough reads v from start to end as the kernel does, by blocks, a window of chunks ahead, and keeps the bytes.
func readThrough(t *testing.T, c *Cache, s *fakeStore, v objstore.Version, window int64) {
	t.Helper()
	for off := int64(0); off < v.Size; off += blockSize {
		ahead := objstore.Range{Off: off / chunkSize * chunkSize, Len: window * chunkSize}
		c.Fetch(t.Context(), v, ahead, objstore.ClassPrefetch, 0)
		r := objstore.Range{Off: off, Len: blockSize}.Intersect(objstore.Range{Len: v.Size})
		mustRead(t, c, s, v, r)
		c.HandedOver(v, r)
	}
}

// A stream whose reader keeps the bytes takes little more memory than the floor and its window, each byte is fetched
// once, and others' bytes stay.
func TestHandedOverStreamTakesLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, 1<<30)
		other := version("other", 8<<20)
		mustRead(t, c, s, other, objstore.Range{Len: other.Size})
		const window = 4
		v := version("stream", 320<<20+12345)
		readThrough(t, c, s, v, window)
		if st, most := c.Stats(), c.handover.floor+(window+2)*chunkSize; st.MemoryPeak > most || st.Evictions > 0 || st.Reused == 0 {
			t.Errorf("%d MiB at the peak, more than %d, %d evicted, %d reused", st.MemoryPeak>>20, most>>20, st.Evictions, st.Reused)
		}
		if st := c.Stats(); st.BytesFetched != v.Size+other.Size {
			t.Errorf("%d bytes fetched of %d", st.BytesFetched, v.Size+other.Size)
		}
		if c.Cached(other) != other.Size {
			t.Error("bytes of somebody else were given up")
		}
	})
}

// Below the floor nothing is given up.
func TestHandedOverStaysBelowTheFloor(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, 1<<30)
	v := version("stream", 4*chunkSize)
	readThrough(t, c, s, v, 1)
	if got := c.Cached(v); got != v.Size {
		t.Errorf("%d bytes of %d are here", got, v.Size)
	}
}

// A chunk that was given up is not fetched because somebody may come to it, but is when somebody does, or asks to have
// it warm.
func TestGivenUpChunkIsNotFetchedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := newTestCache(t, s, 256<<20)
		c.handover.floor = 2 * chunkSize
		v := version("stream", 96<<20)
		readThrough(t, c, s, v, 1)
		if c.Stats().Reused == 0 {
			t.Fatal("nothing was given up")
		}
		fetch(t.Context(), t, c, v, objstore.Range{Len: chunkSize}, objstore.ClassPrefetch, 0, chunkSize, 0)
		fetch(t.Context(), t, c, v, objstore.Range{Len: blockSize}, objstore.ClassWarm, 0, blockSize, blockSize)
		fetch(t.Context(), t, c, v, objstore.Range{Off: chunkSize, Len: chunkSize}, objstore.ClassDemand, chunkSize, chunkSize, chunkSize)
	})
}

// Who asks again for what was handed over has not kept it. From then on the version is kept like any other, whether the
// bytes were still here or not.
func TestWhatIsAskedForAgainIsKept(t *testing.T) {
	for name, again := range map[string]func(v objstore.Version) int64{
		"given up":   func(objstore.Version) int64 { return 0 },
		"still here": func(v objstore.Version) int64 { return v.Size - 4*chunkSize },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := newTestCache(t, s, 256<<20)
				c.handover.floor = 6 * chunkSize
				v := version("stream", 160<<20)
				readThrough(t, c, s, v, 1)
				for off := again(v); off < again(v)+4*chunkSize; off += chunkSize {
					mustRead(t, c, s, v, objstore.Range{Off: off, Len: chunkSize})
				}
				other := version("other", 192<<20)
				readThrough(t, c, s, other, 1) // comes upon what was touched again
				readThrough(t, c, s, v, 1)
				reused := c.Stats().Reused
				readThrough(t, c, s, v, 1)
				if got := c.Stats().Reused; got != reused {
					t.Errorf("%d of its chunks were given up", got-reused)
				}
			})
		})
	}
}

// A part of a chunk that was handed over is not the chunk, and what nobody has fetched is nothing to give up.
func TestHandedOverInPart(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, 1<<30)
	v := version("object", 2*chunkSize+5)
	c.HandedOver(v, objstore.Range{Len: v.Size})
	for off := int64(0); off < v.Size; off += chunkSize {
		mustRead(t, c, s, v, objstore.Range{Off: off, Len: chunkSize}.Intersect(objstore.Range{Len: v.Size}))
	}
	for _, r := range []objstore.Range{{Len: chunkSize - 1}, {Off: 2 * chunkSize, Len: 4}, {Off: chunkSize + blockSize, Len: chunkSize - blockSize}} {
		c.HandedOver(v, r)
	}
	if n := c.handover.spent.Len(); n != 0 {
		t.Errorf("%d chunks go first", n)
	}
	c.HandedOver(v, objstore.Range{Len: v.Size})
	c.HandedOver(v, objstore.Range{Len: v.Size})
	if n := c.handover.spent.Len(); n != 3 {
		t.Errorf("%d chunks of 3 go first", n)
	}
}

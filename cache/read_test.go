package cache

import (
	"testing"

	"github.com/headrace/headrace/objstore"
)

// What is read is right at every boundary, and read a second time it costs no request.
func TestReadAtBoundaries(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	for _, size := range []int64{1, pageSize, largestCell, largestCell + 1, blockSize - 1, blockSize, blockSize + 1, chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 1} {
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

package cache

import (
	"context"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// A stream of four times the memory asks again and again for the chunk it is in. What it has passed is free to go all the
// same, so that it never comes short and each byte costs one GET of a whole chunk.
func TestStreamLargerThanMemoryIsNeverShort(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, 64<<20)
	v := version("large", 256<<20)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for off := int64(0); off < v.Size; off += blockSize {
		chunk := objstore.Range{Off: off / chunkSize * chunkSize, Len: chunkSize}
		next := objstore.Range{Off: chunk.End(), Len: chunkSize}.Intersect(objstore.Range{Len: v.Size})
		for _, ahead := range []objstore.Range{chunk, next} {
			if accepted, _ := c.Fetch(ctx, v, ahead, objstore.ClassPrefetch, ahead.Off); accepted < ahead.Len {
				t.Fatalf("reading at %d: only %d bytes of %v were taken", off, accepted, ahead)
			}
		}
		mustRead(t, c, s, v, objstore.Range{Off: off, Len: blockSize})
	}
	if got := len(s.ranges()); got != 16 {
		t.Errorf("%d GETs for 16 chunks", got)
	}
}

package cache

import (
	"context"
	"fmt"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// A stream of four times the memory asks again and again for the chunk it is in. What it has passed is free to go all
// the same, so that it never comes short and each byte costs one GET of a whole chunk.
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

// An epoch over a data set twice the size of the memory finds close to half of it, file by file and chunk by chunk.
func TestEpochsOverTwiceTheMemory(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, 64<<20)
	for epoch := range 4 {
		before := c.Stats()
		for i := range 128 {
			mustRead(t, c, s, version(fmt.Sprintf("sample-%d", i), blockSize), objstore.Range{Len: blockSize})
		}
		if hits := c.Stats().Hits - before.Hits; epoch > 0 && hits < 128*2/5 {
			t.Errorf("epoch %d: %d of 128 files were here", epoch, hits)
		}
	}
}

// What is read time and again stays, though much more than the memory goes by meanwhile.
func TestUsedStaysWhileAStreamGoesBy(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, 64<<20)
	v := version("stream", 512<<20)
	used := func() (hits int64) {
		before := c.Stats().Hits
		for i := range 16 {
			mustRead(t, c, s, version(fmt.Sprintf("used-%d", i), blockSize), objstore.Range{Len: blockSize})
		}
		return c.Stats().Hits - before
	}
	used()
	for off := int64(0); off < v.Size; off += 4 * blockSize {
		mustRead(t, c, s, v, objstore.Range{Off: off, Len: 4 * blockSize})
		if off%(32<<20) == 0 {
			used()
		}
	}
	if hits := used(); hits != 16 {
		t.Errorf("%d of 16 files that are in use are still here", hits)
	}
}

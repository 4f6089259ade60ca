package main

import (
	"context"

	"github.com/headrace/headrace/cache"
	"github.com/headrace/headrace/objstore"
)

// content reads what a changed file keeps of its old version through the cache: it may be there already.
type content struct{ cache *cache.Cache }

// ReadAt fills p with bytes of v from off on, fewer only at its end.
func (c content) ReadAt(ctx context.Context, v objstore.Version, p []byte, off int64) (n int, err error) {
	rest := objstore.Range{Off: off, Len: int64(len(p))}.Intersect(objstore.Range{Len: v.Size})
	for !rest.Empty() {
		piece := rest
		piece.Len = min(piece.Len, objstore.ChunkSize-piece.Off%objstore.ChunkSize)
		data, release, _, err := c.cache.Read(ctx, v, piece)
		if err != nil {
			return n, err
		}
		for _, d := range data {
			n += copy(p[n:], d)
		}
		release()
		rest.Off, rest.Len = piece.End(), rest.Len-piece.Len
	}
	return n, nil
}

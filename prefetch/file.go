package prefetch

import (
	"context"

	"github.com/headrace/headrace/objstore"
)

// File follows the reads of one open version. All methods may be called at the same time from many goroutines.
type File struct {
	p       *Prefetcher
	version objstore.Version
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
}

// Preload fetches an object of up to two chunks whole and now, one GET a chunk, and waits for its first byte when all of
// it was newly asked for. confirmed tells that the store was asked for this version after the call began, and has it:
// nobody needs to ask again whether the name still means this version. For larger and for empty objects, and for those
// that are already here in part, nothing is confirmed. Errors are objstore's: ErrChanged when the name has moved on.
func (f *File) Preload(ctx context.Context) (confirmed bool, err error) {
	return false, nil
}

// Read returns the bytes from off on, n at most and fewer only at the end of the file; none at or after the end. They are
// pinned until release is called, exactly once, also when there are none. ctx ends only the waiting. Errors are objstore's.
func (f *File) Read(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error) {
	r := objstore.Range{Off: off, Len: int64(n)}.Intersect(objstore.Range{Len: f.version.Size})
	if r.Empty() {
		return nil, func() {}, nil
	}
	return f.p.source.Read(ctx, f.version, r)
}

// Close ends what was predicted for the file. Reads under way go on; there must be none afterwards.
func (f *File) Close() {
	f.cancel()
	f.p.mu.Lock()
	delete(f.p.files, f)
	f.p.mu.Unlock()
}

package fs

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
)

// volume is one bucket of the mount and what is known of its names.
type volume struct {
	bucket    objstore.Bucket
	tree      *names.Tree
	described bool // objects bear their files' attributes: see [Config.PosixMetadata]
}

// namesPerBucket is how many names are remembered of each bucket, where several are shown: about 5 MB of them. Those
// who read from many buckets at once are few, and a listing that does not fit is asked for again and nothing worse.
const namesPerBucket = names.DefaultMaxCached / 8

func (f *fileSystem) newVolume(b objstore.Bucket, remembered int) *volume {
	config := names.Config{TTL: f.cfg.MetadataTTL, Immutable: f.cfg.Immutable, MaxCached: remembered, Now: f.cfg.Now}
	if f.cfg.Shelf != nil {
		config.Shelf = f.cfg.Shelf(b)
	}
	return &volume{bucket: b, described: f.cfg.PosixMetadata, tree: names.New(b, config)}
}

// bucketTable is the buckets of a mount that shows several. A bucket that was once opened stays: if it goes, what is
// asked of it says so.
type bucketTable struct {
	source Volumes

	mu     sync.Mutex // guards what is below; not held while the store is asked
	opened map[string]*volume
	listed []string
	at     time.Time // when listed was asked for; zero before the first time
}

// open makes the bucket usable; ErrNotExist when it is not among those that are shown.
func (f *fileSystem) openBucket(ctx context.Context, name string) (*volume, error) {
	t := f.buckets
	t.mu.Lock()
	v := t.opened[name]
	t.mu.Unlock()
	if v != nil {
		return v, nil
	}
	listed, err := f.listBuckets(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(listed, name) {
		return nil, objstore.ErrNotExist
	}
	b, err := t.source.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if first := t.opened[name]; first != nil { // somebody else opened it meanwhile
		return first, nil
	}
	made := f.newVolume(b, namesPerBucket)
	if t.opened == nil {
		t.opened = make(map[string]*volume)
	}
	t.opened[name] = made
	return made, nil
}

// listBuckets names the buckets in order, from memory while that is fresh.
func (f *fileSystem) listBuckets(ctx context.Context) ([]string, error) {
	t := f.buckets
	t.mu.Lock()
	listed, at := t.listed, t.at
	t.mu.Unlock()
	if !at.IsZero() && f.fresh(at) {
		return listed, nil
	}
	at = f.cfg.Now()
	listed, err := t.source.List(ctx)
	if err != nil {
		return nil, err
	}
	listed = slices.Sorted(slices.Values(listed))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed, t.at = listed, at
	return listed, nil
}

// volumes are the buckets that were opened.
func (t *bucketTable) volumes() []*volume {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.opened))
}

// bucketEntries is a reader's place in the root of several buckets.
type bucketEntries struct {
	fs     *fileSystem
	items  []names.Item // nil before they are asked for
	offset uint64       // afterDotDot more than how many were given; 0 before the first
}

// Next implements entries.
func (b *bucketEntries) Next(ctx context.Context) (names.Item, error) {
	if b.items == nil {
		at := b.fs.cfg.Now()
		listed, err := b.fs.listBuckets(ctx)
		if err != nil {
			return names.Item{}, err
		}
		b.items = []names.Item{}
		for _, name := range listed {
			b.items = append(b.items, bucketItem(name, at))
		}
	}
	given := max(b.offset, afterDotDot) - afterDotDot
	if given >= uint64(len(b.items)) {
		return names.Item{}, io.EOF
	}
	b.offset = afterDotDot + given + 1
	return b.items[given], nil
}

// Back implements entries.
func (b *bucketEntries) Back() { b.offset-- }

// Offset implements entries.
func (b *bucketEntries) Offset() uint64 { return b.offset }

// Seek implements entries.
func (b *bucketEntries) Seek(offset uint64) {
	if offset == 0 {
		b.items = nil
	}
	b.offset = offset
}

// Close implements entries.
func (b *bucketEntries) Close() {}

// bucketItem is a bucket as an entry of the root.
func bucketItem(name string, at time.Time) names.Item {
	return names.Item{Name: name, Dir: true, Confirmed: at}
}

package hashed

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	// listingsAtOnce is how many of the 256 listings are under way at a time.
	listingsAtOnce = 32
	// runKeys is how many keys of a listing are kept as entries before they are packed. An entry takes about 300 bytes and
	// a packed one about 50: with all listings under way, what is not packed takes 80 MB at the most.
	runKeys = 8192
)

// making lists all shards, and takes each over when it is complete.
type making struct {
	index *index
	found foreign
	keys  atomic.Int64 // that were listed so far
}

func (m *making) run(class objstore.Class, look bool) error {
	g, ctx := errgroup.WithContext(m.index.life)
	g.SetLimit(listingsAtOnce)
	for i := range shards {
		g.Go(func() error { return m.shard(objstore.WithTicket(ctx, objstore.NewTicket(class)), i) })
	}
	if look {
		g.Go(func() error { return m.found.look(objstore.WithTicket(ctx, objstore.NewTicket(class)), m.index.bucket) })
	}
	return g.Wait()
}

// shard lists one shard. That it is being listed is noted before the moment is taken: what is merged until then is
// older.
func (m *making) shard(ctx context.Context, i int) error {
	m.index.setListing(i, true)
	defer m.index.setListing(i, false)
	began := m.index.options.Now()
	s, err := m.list(ctx, i)
	if err == nil {
		m.index.replace(i, s, began)
	}
	return err
}

// list gives the entries of a shard, by plain keys and in their order. All listings together end when there are more
// keys than may be: what they hold is bounded, however large the bucket is.
func (m *making) list(ctx context.Context, shard int) (*segment, error) {
	x := m.index
	var entries []objstore.Entry
	var runs []*segment
	pack := func() {
		slices.SortFunc(entries, func(a, b objstore.Entry) int { return strings.Compare(a.Key, b.Key) })
		runs, entries = append(runs, newSegment(entries)), entries[:0]
	}
	for page, err := range x.bucket.List(ctx, objstore.ListOptions{Prefix: shardPrefix(shard)}) {
		if err != nil {
			return nil, err
		}
		mine := 0
		for _, e := range page.Entries {
			key, ok := Decode(e.Key)
			if !ok {
				m.found.add(e.Key)
				continue
			}
			if strings.HasPrefix(key, x.options.Prefix) {
				e.Key = strings.Clone(key)
				entries = append(entries, e)
				mine++
			}
		}
		if m.keys.Add(int64(mine)) > int64(x.options.MaxKeys) {
			return nil, errTooMany(x.bucket.Name(), x.options.MaxKeys)
		}
		if len(entries) >= runKeys {
			pack()
		}
	}
	pack()
	return joined(runs), nil
}

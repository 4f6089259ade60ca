package hashed

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

// listingsAtOnce is how many of the 256 listings are under way at a time.
const listingsAtOnce = 32

// make lists all shards, and takes each over when it is complete.
func (x *index) make(class objstore.Class) (*foreign, error) {
	found := new(foreign)
	g, ctx := errgroup.WithContext(x.life)
	g.SetLimit(listingsAtOnce)
	var total atomic.Int64
	for i := range shards {
		g.Go(func() error {
			ctx := objstore.WithTicket(ctx, objstore.NewTicket(class))
			x.setListing(i, true) // before the moment is taken: what is merged until then is older
			defer x.setListing(i, false)
			began := x.options.Now()
			entries, err := x.list(ctx, i, found)
			if err != nil {
				return err
			}
			if total.Add(int64(len(entries))) > int64(x.options.MaxKeys) {
				return errTooMany(x.bucket.Name(), x.options.MaxKeys)
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.shards[i].replace(entries, began)
			return nil
		})
	}
	g.Go(func() error { return found.look(objstore.WithTicket(ctx, objstore.NewTicket(class)), x.bucket) })
	err := g.Wait()
	return found, err
}

func (x *index) setListing(shard int, listing bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shards[shard].listing = listing
}

// list gives the entries of a shard, by plain keys and in their order.
func (x *index) list(ctx context.Context, shard int, found *foreign) (entries []objstore.Entry, err error) {
	for page, err := range x.bucket.List(ctx, objstore.ListOptions{Prefix: shardPrefix(shard)}) {
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			key, ok := Decode(e.Key)
			if !ok {
				found.add(e.Key)
				continue
			}
			if strings.HasPrefix(key, x.options.Prefix) {
				e.Key = strings.Clone(key)
				entries = append(entries, e)
			}
		}
		if len(entries) > x.options.MaxKeys {
			return nil, errTooMany(x.bucket.Name(), x.options.MaxKeys)
		}
	}
	slices.SortFunc(entries, func(a, b objstore.Entry) int { return strings.Compare(a.Key, b.Key) })
	return entries, nil
}

package main

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

// volumes are the buckets shown by a mount of s3://: those named with --bucket, else all that can be listed. A bucket
// is opened when somebody first enters it, and once.
type volumes struct {
	named []string
	list  func(context.Context) ([]string, error)
	open  func(ctx context.Context, name string) (objstore.Bucket, error)

	mu     sync.Mutex // guards opened; not held while the store is asked
	opened map[string]objstore.Bucket
}

// List implements fs.Volumes.
func (v *volumes) List(ctx context.Context) ([]string, error) {
	if len(v.named) > 0 {
		return v.named, nil
	}
	return v.list(ctx)
}

// check makes sure, before anything is mounted, that there is something to show: that the buckets named are there and
// may be listed, as for one bucket, or that there is a list of them.
func (v *volumes) check(ctx context.Context, o storeOptions) error {
	if len(v.named) == 0 {
		_, err := v.List(ctx)
		return explainStore(err, "the list of buckets", o)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(checkedAtOnce)
	for _, name := range v.named {
		group.Go(func() error {
			_, err := v.Open(ctx, name)
			return explainStore(err, name, o)
		})
	}
	return group.Wait()
}

// checkedAtOnce is how many of the buckets named are asked for at the same time: a few, since each takes a connection
// or two of its own.
const checkedAtOnce = 8

// Open implements fs.Volumes. Two callers that open one bucket at the same time may both ask the store; the first to be
// answered wins.
func (v *volumes) Open(ctx context.Context, name string) (objstore.Bucket, error) {
	if len(v.named) > 0 && !slices.Contains(v.named, name) {
		return nil, &objstore.Error{Op: "HeadBucket", Bucket: name, Err: objstore.ErrNoBucket}
	}
	v.mu.Lock()
	b := v.opened[name]
	v.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := v.open(ctx, name)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if first := v.opened[name]; first != nil {
		return first, nil
	}
	if v.opened == nil {
		v.opened = map[string]objstore.Bucket{}
	}
	v.opened[name] = b
	return b, nil
}

package objstore

import (
	"context"
	"io"
	"sync"
)

// Router is the one [Opener] for versions of many buckets: it sends each request to the bucket that the version names.
type Router struct {
	mu      sync.RWMutex // guards buckets
	buckets map[bucketID]Bucket
}

// bucketID is what of a [Version] says where its bytes are.
type bucketID struct{ endpoint, bucket string }

// NewRouter makes a router that knows no bucket yet.
func NewRouter() *Router { return &Router{buckets: make(map[bucketID]Bucket)} }

// Add makes b the bucket for the versions that carry its name and endpoint, in place of an earlier one of both.
func (r *Router) Add(b Bucket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buckets[bucketID{b.Endpoint(), b.Name()}] = b
}

// Open reads from v's bucket; ErrNoBucket when that was never added.
func (r *Router) Open(ctx context.Context, v Version, rng Range) (io.ReadCloser, error) {
	r.mu.RLock()
	b := r.buckets[bucketID{v.Endpoint, v.Bucket}]
	r.mu.RUnlock()
	if b == nil {
		return nil, &Error{Op: OpOpen.String(), Bucket: v.Bucket, Key: v.Key, Err: ErrNoBucket}
	}
	return b.Open(ctx, v, rng)
}

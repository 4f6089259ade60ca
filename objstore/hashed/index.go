package hashed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// MaxKeys is how many keys an index holds at most: in 400 to 800 MB of memory, at 40 to 80 bytes a key.
	MaxKeys = 10_000_000
	// freshWait is how long a listing waits for an index to be made again before it goes by the one there is: a small bucket's is there by then.
	freshWait = 2 * time.Second
	// staleFactor is how many times its TTL an index may be old when it cannot be made again.
	staleFactor = 10
)

// index knows all keys below a prefix of a bucket.
type index struct {
	bucket  objstore.Bucket // with stored keys
	options Options

	life  context.Context // of what makes the index
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu       sync.Mutex // guards what follows; held across no request
	shards   [shards]shard
	complete bool   // all shards were listed
	making   *build // nil when nobody makes it
	failed   error  // of the last build; nil when it succeeded
	told     bool   // what is not in the form was told of
}

// build is a making of the index that several may wait for.
type build struct {
	done chan struct{}
	err  error // set before done is closed
}

func newIndex(bucket objstore.Bucket, options Options) *index {
	x := &index{bucket: bucket, options: options}
	x.life, x.end = context.WithCancel(context.Background())
	if err := x.load(); err != nil {
		options.Log.Warn("the saved key index cannot be used, and is made anew", "file", options.File, "error", err)
	}
	return x
}

// close ends what is under way, and saves the index.
func (x *index) close() error {
	x.end()
	x.tasks.Wait()
	return x.save()
}

// change takes over what the store has answered to a write.
func (x *index) change(e objstore.Entry, removed bool) {
	at := x.options.Now()
	if e.ModTime.IsZero() {
		e.ModTime = at
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shards[shardOf(e.Key)].change(change{entry: e, removed: removed, at: at})
}

// ready tells whether a listing can be answered at once.
func (x *index) ready() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.complete
}

// await makes sure that there is an index. It waits for the first one, and a moment for one that takes the place of an old one.
func (x *index) await(ctx context.Context) error {
	x.mu.Lock()
	complete, age := x.complete, x.options.Now().Sub(x.oldest())
	if complete && age <= x.options.TTL {
		x.mu.Unlock()
		return nil
	}
	b := x.begin(complete)
	x.mu.Unlock()
	patience := make(<-chan time.Time)
	if complete {
		timer := time.NewTimer(freshWait)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-b.done:
		if b.err != nil && (!complete || age > staleFactor*x.options.TTL) {
			return b.err
		}
		return nil
	case <-patience:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin has the index be made, unless it is being made. The caller holds mu.
func (x *index) begin(again bool) *build {
	if x.making != nil {
		return x.making
	}
	b := &build{done: make(chan struct{})}
	if x.life.Err() != nil {
		b.err = context.Canceled
		close(b.done)
		return b
	}
	x.making = b
	class := objstore.ClassMetadata // somebody waits
	if again {
		class = objstore.ClassWarm
	}
	x.tasks.Go(func() {
		began := x.options.Now()
		found, err := x.make(class)
		x.mu.Lock()
		x.making, x.complete = nil, x.complete || err == nil
		x.mu.Unlock()
		x.report(found, x.options.Now().Sub(began), err)
		b.err = err
		close(b.done)
	})
	return b
}

// report says what came of making the index: at first, and when that changes.
func (x *index) report(found *foreign, took time.Duration, err error) {
	x.mu.Lock()
	failedBefore, told := x.failed != nil, x.told
	x.failed, x.told = err, err == nil || told
	x.mu.Unlock()
	log := x.options.Log
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil && !failedBefore:
		log.Warn("the key index could not be made", "bucket", x.bucket.Name(), "error", err)
	case err == nil && (!told || failedBefore):
		keys, bytes := x.size()
		log.Info("key index", "bucket", x.bucket.Name(), "keys", keys, "bytes", bytes, "seconds", took.Seconds())
		found.tell(log, x.bucket.Name(), x.options.Prefix)
	}
}

// size is how many keys the index has, and the memory they take.
func (x *index) size() (keys int, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.shards {
		if s := x.shards[i].segment; s != nil {
			keys += s.count
			bytes += s.bytes()
		}
	}
	return keys, bytes
}

// oldest is when the oldest listing began. The caller holds mu.
func (x *index) oldest() time.Time {
	oldest := x.shards[0].listed
	for i := range x.shards {
		if at := x.shards[i].listed; at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// walk is a walk through the index as it is now, from key on; asOf is how old it may be.
func (x *index) walk(key string) (m *merge, asOf time.Time) {
	walkers := make([]*walker, 0, shards)
	x.mu.Lock()
	asOf = x.oldest()
	for i := range x.shards {
		s := &x.shards[i]
		if s.segment.count+len(s.changes) > 0 {
			walkers = append(walkers, &walker{cursor: cursor{segment: s.segment}, changes: s.changes})
		}
	}
	x.mu.Unlock()
	return newMerge(walkers, key), asOf
}

// errTooMany says that the index would have more keys than it may.
func errTooMany(bucket string, limit int) error {
	return fmt.Errorf("bucket %s has more than %d keys below what is mounted, which is more than an index holds: mount a prefix of it: %w",
		bucket, limit, objstore.ErrUnsupported)
}

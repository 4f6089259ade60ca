package hashed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// MaxKeys is how many keys an index holds at most: in 380 to 620 MB of memory, at 38 to 62 bytes a key, and about
	// twice that while it is made.
	MaxKeys = 10_000_000
	// freshWait is how long a listing waits for an index to be made again before it goes by the one there is: a small
	// bucket's is there by then.
	freshWait = 2 * time.Second
	// staleFactor is how many times its TTL an index may be old that is used while another is being made, or when none can
	// be.
	staleFactor = 10
	// refusedFor is for how long a bucket counts as too large: to find that out takes as many listings as an index has
	// room for.
	refusedFor = 10 * time.Minute
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
	keys     int       // INVARIANT: the sum of all shards' keys, at most MaxKeys where complete
	complete bool      // all shards were listed
	making   *build    // nil when nobody makes it
	refused  error     // why there is none; nil unless the bucket is too large
	until    time.Time // for how long refused counts
	failed   error     // of the last build; nil when it succeeded
	told     bool      // what is not in the form was told of
	stale    bool      // the saved index is not what there is, and gone
}

// build is a making of the index that several may wait for.
type build struct {
	began time.Time
	void  bool // guarded by index.mu: what was listed so far was dropped
	done  chan struct{}
	err   error // set before done is closed
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

// change takes over what the store has answered to a write. From the first one on the saved index would lack it, were
// this process killed, and is removed.
func (x *index) change(e objstore.Entry, removed bool) {
	at := x.options.Now()
	if e.ModTime.IsZero() {
		e.ModTime = at
	}
	x.mu.Lock()
	stale := x.stale
	x.stale = true
	x.update(shardOf(e.Key), func(s *shard) { s.change(change{entry: e, removed: removed, at: at}) })
	if x.complete && x.keys > x.options.MaxKeys {
		x.drop()
	}
	x.mu.Unlock()
	if !stale && x.options.File != "" {
		if err := os.Remove(x.options.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.options.Log.Warn("the saved key index is out of date, and cannot be removed", "file", x.options.File, "error", err)
		}
	}
}

// update changes one shard, and counts its keys. The caller holds mu.
func (x *index) update(number int, f func(*shard)) {
	s := &x.shards[number]
	before := s.keys()
	f(s)
	x.keys += s.keys() - before
}

func (x *index) setListing(number int, listing bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.update(number, func(s *shard) { s.setListing(listing) })
}

func (x *index) replace(number int, listed *segment, began time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.update(number, func(s *shard) { s.replace(listed, began) })
}

// drop lets the index go: the next listing makes another, and so finds out whether there are too many keys. The caller
// holds mu.
func (x *index) drop() {
	for i := range x.shards {
		x.update(i, func(s *shard) { *s = shard{listing: s.listing} })
	}
	x.complete = false
	if x.making != nil {
		x.making.void = true
	}
}

// ready tells whether a listing can be answered at once.
func (x *index) ready() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.complete && x.options.Now().Sub(x.oldest()) <= x.options.TTL
}

// await makes sure that there is an index. It waits for the first one and in place of one that is far too old, and for
// a moment where one that is not is being made again.
func (x *index) await(ctx context.Context) error {
	x.mu.Lock()
	now := x.options.Now()
	if x.refused != nil && now.Before(x.until) {
		defer x.mu.Unlock()
		return x.refused
	}
	age := now.Sub(x.oldest())
	if x.complete && age <= x.options.TTL {
		x.mu.Unlock()
		return nil
	}
	usable := x.complete && age <= staleFactor*x.options.TTL
	b := x.begin(now, usable)
	x.mu.Unlock()
	var patience <-chan time.Time
	if usable {
		timer := time.NewTimer(freshWait - now.Sub(b.began)) // however many have waited before
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-b.done:
		if usable {
			return nil
		}
		return b.err
	case <-patience:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin has the index be made, unless it is being made. The caller holds mu.
func (x *index) begin(now time.Time, again bool) *build {
	if x.making != nil {
		return x.making
	}
	b := &build{began: now, done: make(chan struct{})}
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
	look := !x.told
	x.tasks.Go(func() {
		m := &making{index: x, found: foreign{prefix: x.options.Prefix}}
		err := x.made(b, m.run(class, look))
		x.report(&m.found, x.options.Now().Sub(now), err)
		b.err = err
		close(b.done)
	})
	return b
}

// made takes over how the making of the index has ended.
func (x *index) made(b *build, err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.making = nil
	if tooMany := errTooMany(x.bucket.Name(), x.options.MaxKeys); err == nil && (b.void || x.keys > x.options.MaxKeys) {
		err = tooMany
	}
	switch {
	case err == nil:
		x.complete, x.refused = true, nil
	case errors.Is(err, errKeys):
		x.drop()
		x.refused, x.until = err, x.options.Now().Add(refusedFor)
	}
	return err
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
		found.tell(log, x.bucket.Name())
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

// walk is a walk through the index as it is now, from key on; asOf is how old it may be. false when there is none any
// more.
func (x *index) walk(key string) (m *merge, asOf time.Time, ok bool) {
	walkers, asOf, ok := x.walkers()
	return newMerge(walkers, key), asOf, ok
}

// has tells whether a key of the index as it is begins with prefix.
func (x *index) has(prefix string) bool {
	walkers, _, _ := x.walkers()
	return slices.ContainsFunc(walkers, func(w *walker) bool { return w.seek(prefix) && strings.HasPrefix(w.key(), prefix) })
}

func (x *index) walkers() (all []*walker, asOf time.Time, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.complete {
		return nil, asOf, false
	}
	for i := range x.shards {
		if s := &x.shards[i]; s.keys() > 0 {
			all = append(all, &walker{cursor: cursor{segment: s.segment}, changes: s.changes})
		}
	}
	return all, x.oldest(), true
}

// errKeys is that there are too many keys.
var errKeys = fmt.Errorf("%w: mount a prefix of the bucket", objstore.ErrUnsupported)

// errTooMany says that the index would have more keys than it may.
func errTooMany(bucket string, limit int) error {
	return fmt.Errorf("bucket %s has more than %d keys below what is mounted, which is more than an index holds: %w", bucket, limit, errKeys)
}

package replicas

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Options say where copies are read, and how.
type Options struct {
	Direct objstore.Opener  // reads copies: without retries, since there is the original to go to. nil for the bucket itself
	TTL    time.Duration    // after which it is looked for new manifests; default a minute
	Log    *slog.Logger     // nil for none
	Now    func() time.Time // nil is time.Now
}

// defaultTTL is how old what is known of copies may be.
const defaultTTL = time.Minute

// Bucket spreads the reads of a bucket's objects over their copies. All else goes to the bucket.
type Bucket struct {
	objstore.Bucket
	direct objstore.Opener
	known  *known

	sent     sent
	turn     atomic.Uint64
	fromCopy atomic.Int64
	fellBack atomic.Int64
}

// New spreads the reads of b. The caller closes it.
func New(b objstore.Bucket, o Options) *Bucket {
	if o.Direct == nil {
		o.Direct = b
	}
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Bucket{Bucket: b, direct: o.Direct, known: newKnown(b, o.TTL, o.Log, o.Now)}
}

// Close ends the looking for manifests.
func (b *Bucket) Close() { b.known.close() }

// Unwrap gives the bucket below.
func (b *Bucket) Unwrap() objstore.Bucket { return b.Bucket }

// Stats are reads from copies, and those that went to the original because a copy failed.
func (b *Bucket) Stats() (fromCopy, fellBack int64) { return b.fromCopy.Load(), b.fellBack.Load() }

// Open reads from the original or one of its copies, in turn. A copy does not know whether the name still means this
// version, so who takes a GET for the answer to that asks [Bucket.ReadFromCopy].
func (b *Bucket) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	copies := b.known.of(v)
	if len(copies) == 0 {
		return b.Bucket.Open(ctx, v, r)
	}
	n := b.turn.Add(1) % uint64(len(copies)+1)
	if n == 0 {
		return b.Bucket.Open(ctx, v, r)
	}
	c := v
	c.Key, c.ETag = copies[n-1].Key, copies[n-1].ETag
	b.sent.note(v, b.known.now())
	body, err := b.direct.Open(ctx, c, r)
	if err != nil {
		if errors.Is(err, objstore.ErrNotExist) || errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrPermission) {
			b.known.distrust(v, copies[n-1])
		}
		return b.original(ctx, v, r)
	}
	b.fromCopy.Add(1)
	return &reading{bucket: b, ctx: ctx, version: v, rest: r, body: body}, nil
}

// ReadFromCopy tells whether a GET of v was sent to a copy at a time or later, also if the original has answered in the
// end. See [objstore.Spreader].
func (b *Bucket) ReadFromCopy(v objstore.Version, since time.Time) bool {
	return b.sent.since(v, since)
}

// original is the way back from a copy.
func (b *Bucket) original(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	if ctx.Err() == nil {
		b.fellBack.Add(1)
	}
	return b.Bucket.Open(ctx, v, r)
}

// reading is a body that comes from a copy as far as that goes.
type reading struct {
	bucket   *Bucket
	ctx      context.Context // of the read
	version  objstore.Version
	rest     objstore.Range // what has not come yet
	body     io.ReadCloser
	original bool
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.rest.Off, r.rest.Len = r.rest.Off+int64(n), r.rest.Len-int64(n)
	if err == nil || err == io.EOF || r.original || r.rest.Len <= 0 || r.ctx.Err() != nil {
		return n, err
	}
	r.body.Close()
	body, failed := r.bucket.original(r.ctx, r.version, r.rest)
	if failed != nil {
		r.body, r.original = io.NopCloser(broken{failed}), true
		return n, failed
	}
	r.body, r.original = body, true
	return n, nil
}

func (r *reading) Close() error { return r.body.Close() }

// broken fails all reads.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

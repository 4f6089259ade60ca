package hashed

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Options say what is indexed, and how old an index may be.
type Options struct {
	Prefix string        // of plain keys: only what is below it is indexed and can be listed; "" for all
	TTL    time.Duration // after which the index is made again, when somebody lists
	File   string        // where the index is kept while nobody has it; "" for nowhere
	Log    *slog.Logger  // nil for none

	Now     func() time.Time // nil is time.Now
	MaxKeys int              // 0 is [MaxKeys]
}

// Bucket is a bucket whose keys are stored under their hashes. It is a decorator of the whole vocabulary: an optional
// power that is found below it would take plain keys for stored ones, so all those that take keys are here.
type Bucket struct {
	inner objstore.Bucket
	index *index
}

// New puts a bucket's keys under their hashes. It asks nothing; the first listing does. The caller closes it.
func New(inner objstore.Bucket, options Options) *Bucket {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.MaxKeys == 0 {
		options.MaxKeys = MaxKeys
	}
	return &Bucket{inner: inner, index: newIndex(inner, options)}
}

// Close ends the making of the index, and saves it.
func (b *Bucket) Close() error { return b.index.close() }

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.inner.Name() }

// EndpointMark is what the identity of a store ends with whose keys are hashed: a version here and one of the same key
// in a bucket as it is are two.
const EndpointMark = "#hashed"

// Endpoint is the store's identity, marked.
func (b *Bucket) Endpoint() string { return b.inner.Endpoint() + EndpointMark }

// Unwrap gives the bucket below, whose keys are stored ones.
func (b *Bucket) Unwrap() objstore.Bucket { return b.inner }

// IndexReady tells whether a listing can be answered without asking. See [objstore.Indexed].
func (b *Bucket) IndexReady() bool { return b.index.ready() }

// Has tells whether a key begins with prefix, as far as is known. See [objstore.Indexed].
func (b *Bucket) Has(prefix string) bool { return b.index.has(prefix) }

// MaxKey is how many bytes a plain key has at most: the hash stands before it.
func (b *Bucket) MaxKey() int { return objstore.MaxKey - hashLen - 1 }

// Size is how many keys are indexed, and the bytes of memory they take.
func (b *Bucket) Size() (keys int, bytes int64) { return b.index.size() }

// stored is a version as the bucket below knows it.
func (b *Bucket) stored(v objstore.Version) objstore.Version {
	v.Endpoint, v.Key = strings.TrimSuffix(v.Endpoint, EndpointMark), Encode(v.Key)
	return v
}

// plain is an entry as it is known above.
func plain(e objstore.Entry, key string) objstore.Entry {
	e.Key = key
	return e
}

func (b *Bucket) fail(op objstore.Op, key string, err error) error {
	return &objstore.Error{Op: op.String(), Bucket: b.inner.Name(), Key: key, Err: err}
}

// about has an error tell of the plain keys, which is what those above have asked for.
func about(err error, keys ...string) error {
	e, ok := err.(*objstore.Error) // one that is wrapped was made above
	if !ok {
		return err
	}
	for _, key := range keys {
		if e.Key == Encode(key) {
			told := *e
			told.Key = key
			return &told
		}
	}
	return err
}

// Stat asks for an object.
func (b *Bucket) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	if key == "" {
		return objstore.Entry{}, b.fail(objstore.OpStat, key, objstore.ErrInvalid)
	}
	e, err := b.inner.Stat(ctx, Encode(key))
	if len(key) > b.MaxKey() && errors.Is(err, objstore.ErrInvalid) { // the store takes no such key, and so has none
		return objstore.Entry{}, b.fail(objstore.OpStat, key, objstore.ErrNotExist)
	}
	return plain(e, key), about(err, key)
}

// Open reads from a version.
func (b *Bucket) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	body, err := b.inner.Open(ctx, b.stored(v), r)
	return body, about(err, v.Key)
}

// Tags tells an object's tags.
func (b *Bucket) Tags(ctx context.Context, key string) (string, error) {
	tagger, ok := objstore.AsTagger(b.inner)
	if !ok {
		return "", b.fail(objstore.OpTags, key, objstore.ErrUnsupported)
	}
	tags, err := tagger.Tags(ctx, Encode(key))
	return tags, about(err, key)
}

// ReadFromCopy tells of the bucket below. See [objstore.Spreader].
func (b *Bucket) ReadFromCopy(v objstore.Version, since time.Time) bool {
	return objstore.ReadFromCopy(b.inner, b.stored(v), since)
}

// Prestage has a cache in front of the store fetch an object.
func (b *Bucket) Prestage(ctx context.Context, key string) error {
	prestager, ok := objstore.AsPrestager(b.inner)
	if !ok {
		return b.fail(objstore.OpPrestage, key, objstore.ErrUnsupported)
	}
	return about(prestager.Prestage(ctx, Encode(key)), key)
}

var (
	_ objstore.Bucket     = (*Bucket)(nil)
	_ objstore.Renamer    = (*Bucket)(nil)
	_ objstore.Tagger     = (*Bucket)(nil)
	_ objstore.Prestager  = (*Bucket)(nil)
	_ objstore.Indexed    = (*Bucket)(nil)
	_ objstore.KeyLimiter = (*Bucket)(nil)

	_ objstore.VersionDeleter = (*Bucket)(nil)
	_ objstore.Spreader       = (*Bucket)(nil)
)

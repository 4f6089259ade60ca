package objstore

import (
	"context"
	"io"
	"iter"
)

// TellChanges is b with changing being told the keys of each request that changes objects: before it is made, and once
// it was answered, also with an error, as nobody knows then what the store has done.
func TellChanges(b Bucket, changing func(keys ...string)) Bucket {
	t := &telling{changing: changing}
	t.through = through{inner: b, do: func(ctx context.Context, q request, call func(context.Context) error) error {
		switch q.op {
		case OpPut, OpCompleteUpload, OpCopy, OpDelete:
			changing(q.key)
			defer changing(q.key)
		}
		return call(ctx)
	}}
	return t
}

// telling is a bucket whose changes are told.
type telling struct {
	through
	changing func(keys ...string)
}

// Rename changes two keys.
func (b *telling) Rename(ctx context.Context, key string, src Version, cond Condition) error {
	b.changing(key, src.Key)
	defer b.changing(key, src.Key)
	return b.through.Rename(ctx, key, src, cond)
}

func (b *telling) Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error) {
	return b.inner.Open(ctx, v, r)
}

func (b *telling) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	return b.inner.List(ctx, opts)
}

func (b *telling) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return b.inner.ListUploads(ctx, prefix)
}

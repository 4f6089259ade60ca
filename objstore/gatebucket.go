package objstore

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"time"
)

// Wrap makes a bucket whose requests take their slots from g.
func (g *Gate) Wrap(b Bucket) Bucket {
	return &gated{through: through{inner: b, do: g.request}, gate: g}
}

// gated is a bucket behind a gate.
type gated struct {
	through
	gate *Gate
}

// request makes a request that is over when its call returns.
func (g *Gate) request(ctx context.Context, q request, call func(context.Context) error) error {
	s, err := g.acquire(ctx, q.op)
	if err != nil {
		return err
	}
	err = call(ctx)
	g.release(s, result{err: err, sent: q.sent})
	return err
}

func (b *gated) Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error) {
	s, err := b.gate.acquire(ctx, OpOpen)
	if err != nil {
		return nil, err
	}
	body, err := b.inner.Open(ctx, v, r)
	if err != nil {
		b.gate.release(s, result{err: err})
		return nil, err
	}
	return &gatedBody{inner: body, gate: b.gate, slot: s, firstByte: time.Since(b.gate.born) - s.taken}, nil
}

// gatedBody holds its request's slot until it ends, fails or is closed.
type gatedBody struct {
	inner     io.ReadCloser
	gate      *Gate
	slot      slot
	firstByte time.Duration
	released  atomic.Bool // Close may come while a Read is under way
}

func (b *gatedBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if n > 0 {
		b.gate.moved.Add(int64(n))
	}
	if err == io.EOF {
		b.release(nil)
	} else if err != nil {
		b.release(err)
	}
	return n, err
}

func (b *gatedBody) Close() error {
	err := b.inner.Close()
	b.release(nil)
	return err
}

func (b *gatedBody) release(err error) {
	if !b.released.Swap(true) {
		b.gate.release(b.slot, result{err: err, firstByte: b.firstByte})
	}
}

func (b *gated) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	last := func(p Page) bool { return p.Last }
	return gatedPages(ctx, b.gate, OpList, b.inner.List(ctx, opts), last)
}

func (b *gated) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	last := func(page []Upload) bool { return len(page) < uploadsPage }
	pages := gatedPages(ctx, b.gate, OpListUploads, uploadPages(b.inner.ListUploads(ctx, prefix)), last)
	return func(yield func(Upload, error) bool) {
		for page, err := range pages {
			for _, u := range page {
				if !yield(u, nil) {
					return
				}
			}
			if err != nil {
				yield(Upload{}, err)
				return
			}
		}
	}
}

// uploadsPage is how many uploads a store tells with one request, at most and by default.
const uploadsPage = 1000

// uploadPages gathers uploads as the store sends them, so that a slot is taken for a request and not for each upload. An
// error comes with those gathered before it.
func uploadPages(uploads iter.Seq2[Upload, error]) iter.Seq2[[]Upload, error] {
	return func(yield func([]Upload, error) bool) {
		var page []Upload
		for u, err := range uploads {
			if err != nil {
				yield(page, err)
				return
			}
			if page = append(page, u); len(page) == uploadsPage {
				if !yield(page, nil) {
					return
				}
				page = nil
			}
		}
		if len(page) > 0 {
			yield(page, nil)
		}
	}
}

// gatedPages holds a slot while the store is asked for the next item, and none while the caller looks at one: a
// directory may be read over minutes. After the item that is known to be the last, no slot is taken.
func gatedPages[T any](ctx context.Context, g *Gate, op Op, pages iter.Seq2[T, error], last func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		s, err := g.acquire(ctx, op)
		held := err == nil
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		defer func() {
			if held {
				g.release(s, result{})
			}
		}()
		for page, failure := range pages {
			if held {
				held = false
				g.release(s, result{err: failure})
			}
			if !yield(page, failure) || failure != nil {
				return
			}
			if last(page) {
				continue
			}
			if s, err = g.acquire(ctx, op); err != nil {
				var none T
				yield(none, err)
				return
			}
			held = true
		}
	}
}

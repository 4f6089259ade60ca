package objstore

import (
	"context"
	"io"
	"iter"
	"sync"
)

// Wrap makes a bucket whose requests take their slots from g.
func (g *Gate) Wrap(b Bucket) Bucket {
	gated := &gated{gate: g}
	gated.through = through{inner: b, do: gated.request}
	return gated
}

// gated is a bucket behind a gate.
type gated struct {
	through
	gate *Gate
}

func (b *gated) request(ctx context.Context, q request, call func(context.Context) error) error {
	s, err := b.gate.acquire(ctx, q.op, place{b.inner.Name(), q.key}, nil)
	if err != nil {
		return err
	}
	err = call(ctx)
	b.gate.release(s, result{err: err, sent: q.sent})
	return err
}

func (b *gated) Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	read := &gatedRead{cancel: cancel}
	read.waits.Store(true)
	s, err := b.gate.acquire(ctx, OpOpen, place{b.inner.Name(), v.Key}, read)
	if err != nil {
		cancel()
		return nil, err
	}
	body, err := b.inner.Open(ctx, v, r)
	read.waits.Store(false)
	if err != nil {
		cancel()
		err = read.cause(err, s.at)
		b.gate.release(s, result{err: err})
		return nil, err
	}
	held := &gatedBody{inner: body, gate: b.gate, slot: s}
	held.forget = context.AfterFunc(ctx, func() { held.end(ctx.Err()) })
	return held, nil
}

// cause is the error of a read that failed with err: its time was out if the gate broke it off.
func (r *gatedRead) cause(err error, at place) error {
	if err != nil && err != io.EOF && r.shed.Load() {
		return &Error{Op: OpOpen.String(), Bucket: at.bucket, Key: at.key, Err: ErrTimeout}
	}
	return err
}

// gatedBody holds its request's slot until it ends, fails or is closed, or its context ends: whoever forgets to close
// it loses no slot.
type gatedBody struct {
	inner    io.ReadCloser
	gate     *Gate
	slot     *slot
	forget   func() bool // has the context's end be without effect
	released sync.Once   // Close may come while a Read is under way, or the context's end be dealt with: the slot is free when it returns
	ended    error       // what the last Read came to; only who reads looks at it
}

func (b *gatedBody) Read(p []byte) (int, error) {
	if b.ended != nil { // the request's context has ended with it, and would be all that the body below says
		return 0, b.ended
	}
	b.slot.read.waits.Store(true)
	n, err := b.inner.Read(p)
	b.slot.read.waits.Store(false)
	if n > 0 {
		b.gate.moved.Add(int64(n))
		b.slot.read.moved.Add(int64(n))
	}
	if err == io.EOF {
		b.release(nil)
	} else if err != nil {
		err = b.slot.read.cause(err, b.slot.at)
		b.release(err)
	}
	b.ended = err
	return n, err
}

func (b *gatedBody) Close() error {
	err := b.inner.Close()
	b.release(nil)
	return err
}

// release ends the request for whoever reads or closes the body.
func (b *gatedBody) release(err error) {
	b.forget()
	b.end(err)
	b.slot.read.cancel()
}

func (b *gatedBody) end(err error) {
	b.released.Do(func() { b.gate.release(b.slot, result{err: err}) })
}

func (b *gated) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	last := func(p Page) bool { return p.Last }
	ask := func() (*slot, error) { return b.gate.acquire(ctx, OpList, place{b.inner.Name(), opts.Prefix}, nil) }
	return gatedPages(b.gate, ask, b.inner.List(ctx, opts), last)
}

func (b *gated) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	last := func(page []Upload) bool { return len(page) < uploadsPage }
	ask := func() (*slot, error) { return b.gate.acquire(ctx, OpListUploads, place{b.inner.Name(), prefix}, nil) }
	pages := gatedPages(b.gate, ask, uploadPages(b.inner.ListUploads(ctx, prefix)), last)
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

// uploadPages gathers uploads as the store sends them, so that a slot is taken for a request and not for each upload.
// An error comes with those gathered before it.
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
// directory may be read over minutes. After the item that is known to be the last, no slot is taken. ask waits for a
// slot.
func gatedPages[T any](g *Gate, ask func() (*slot, error), pages iter.Seq2[T, error], last func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		s, err := ask()
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
			if s, err = ask(); err != nil {
				var none T
				yield(none, err)
				return
			}
			held = true
		}
	}
}

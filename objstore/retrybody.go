package objstore

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Open tries until a body is there, and returns it wrapped so that it is resumed when it breaks.
func (r *retry) Open(ctx context.Context, v Version, rng Range) (io.ReadCloser, error) {
	a := r.attempts(OpOpen, v.Key)
	for {
		body, err := r.inner.Open(ctx, v, rng)
		if err == nil {
			return &resumingBody{ctx: ctx, from: r, version: v, wanted: rng, body: body, attempts: a}, nil
		}
		if err := a.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// resumingBody is the body of one range, made of as many GETs as it takes.
type resumingBody struct {
	// ctx is the request's: a body lives as long as the request it is the answer to.
	ctx     context.Context
	from    *retry
	version Version
	wanted  Range

	// For the reading goroutine alone.
	reached  int64 // bytes of wanted delivered
	attempts attempts
	broken   error // why the GET under way brings no more, until it is resumed
	final    error // what Read says from now on; io.EOF after the last byte

	mu     sync.Mutex         // guards the fields below, since Close may come while a Read waits
	body   io.ReadCloser      // of the GET under way; set by the reading goroutine only, which may therefore read it unlocked
	cancel context.CancelFunc // ends the GET under way if it is a resumption; set as body is
	closed bool
}

var errBodyClosed = errors.New("read of a closed body")

// Read delivers what the GET under way brings. A break is reported or mended by the Read after the last bytes before
// it.
func (b *resumingBody) Read(p []byte) (int, error) {
	for b.final == nil {
		if b.broken != nil {
			b.resume()
			continue
		}
		n, err := b.body.Read(p)
		if n > 0 {
			b.reached += int64(n)
			b.attempts.progress()
		}
		if err != nil {
			b.stopped(err)
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
	return 0, b.final
}

// stopped decides what the end of the GET under way means.
func (b *resumingBody) stopped(err error) {
	whole := b.reached == b.wanted.Len
	switch {
	case b.reached > b.wanted.Len:
		b.final = &Error{Op: OpOpen.String(), Bucket: b.version.Bucket, Key: b.version.Key, Err: ErrCorrupt}
	case errors.Is(err, ErrCorrupt): // in bytes already delivered
		b.final = err
	case whole && (err == io.EOF || retryable(err, 1)):
		b.final = io.EOF
	case err == io.EOF:
		b.broken = io.ErrUnexpectedEOF
	default:
		b.broken = err
	}
}

// resume replaces the broken GET by one of the bytes still missing, or sets final.
func (b *resumingBody) resume() {
	err := b.broken
	b.broken = nil
	b.body.Close() // before the wait: whoever sleeps holds no slot and no connection
	if b.cancel != nil {
		b.cancel() // it was a resumption itself, whose context would be kept until the request's ends
	}
	ctx, cancel := context.WithCancel(b.ctx)
	if !b.replace(b.body, cancel) {
		return
	}
	rest := Range{Off: b.wanted.Off + b.reached, Len: b.wanted.Len - b.reached}
	b.attempts.event.Reached = b.reached
	for {
		if err = b.attempts.wait(ctx, err); err != nil {
			b.final = err
			return
		}
		var body io.ReadCloser
		if body, err = b.from.inner.Open(ctx, b.version, rest); err == nil {
			if !b.replace(body, cancel) {
				body.Close()
			}
			return
		}
	}
}

// replace makes body the one that Close closes and cancel what it calls, unless it was closed already: then it sets
// final.
func (b *resumingBody) replace(body io.ReadCloser, cancel context.CancelFunc) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		cancel()
		b.final = errBodyClosed
		return false
	}
	b.body, b.cancel = body, cancel
	return true
}

// Close ends the GET under way, or the wait for the next.
func (b *resumingBody) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	body, cancel := b.body, b.cancel
	b.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return body.Close()
}

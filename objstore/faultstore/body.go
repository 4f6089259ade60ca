package faultstore

import (
	"context"
	"io"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// Open passes a read on, and its body through the fault.
func (s *Store) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	f := s.arrive(ctx, objstore.OpOpen, v.Key, r)
	if err := s.refuse(ctx, f, objstore.OpOpen, v.Key); err != nil {
		return nil, err
	}
	if f.ETag != "" {
		return nil, s.wrap(objstore.ErrChanged, objstore.OpOpen, v.Key)
	}
	inner, err := s.inner.Open(ctx, v, r)
	if err != nil {
		return nil, err
	}
	if f.Lost != nil {
		inner.Close()
		return nil, s.wrap(f.Lost, objstore.OpOpen, v.Key)
	}
	fail := s.wrap(f.Body.Err, objstore.OpOpen, v.Key)
	if f.Body.Err == io.ErrUnexpectedEOF || f.Body.Err == io.EOF {
		fail = f.Body.Err // as a truncated body fails, and as a store that breaks its promise does
	}
	return &body{ctx: ctx, inner: inner, fault: f.Body, left: f.Body.After, fail: fail, closed: make(chan struct{})}, nil
}

// body is a body with a fault after so many bytes.
type body struct {
	ctx   context.Context // the request's: its end ends the body
	inner io.ReadCloser
	fail  error
	once  sync.Once // closes closed
	// closed ends a stall.
	closed chan struct{}

	// For the reading goroutine alone.
	fault Body
	left  int64 // bytes until the fault
	spent bool  // the fault is over
}

func (b *body) Read(p []byte) (int, error) {
	if b.spent || len(p) == 0 {
		return b.inner.Read(p)
	}
	if b.left > 0 {
		n, err := b.inner.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	}
	if err := b.strike(); err != nil {
		return 0, err
	}
	b.spent = true
	n, err := b.inner.Read(p)
	if n > 0 && b.fault.Flip {
		p[0] ^= 1
	}
	return n, err
}

// strike is what happens instead of the next byte, or before it when the result is nil. An error stays.
func (b *body) strike() error {
	if hold := b.fault.Hold; hold != nil {
		b.fault.Hold = nil
		if err := hold(b.ctx); err != nil {
			b.fail = err
		}
	}
	if b.fault.Stall {
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-b.closed:
			return io.ErrClosedPipe
		}
	}
	return b.fail
}

func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.inner.Close()
}

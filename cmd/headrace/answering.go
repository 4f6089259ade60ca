package main

import (
	"context"
	"sync"
	"time"
)

// answering is a context that ends when a store has not answered in time, or with the one it was made of.
type answering struct {
	context.Context // has the values
	done            chan struct{}
	once            sync.Once
	err             error // set before done is closed
}

func (a *answering) end(err error) {
	a.once.Do(func() {
		a.err = err
		close(a.done)
	})
}

// Deadline implements context.Context: when it ends is not known before.
func (a *answering) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (a *answering) Done() <-chan struct{} { return a.done }

// Err implements context.Context.
func (a *answering) Err() error {
	select {
	case <-a.done:
		return a.err
	default:
		return nil
	}
}

// whileAnswered gives a context that ends when the store has not answered for a time. One that does, and says that a
// bucket which was just made is not ready, is waited for: how long that takes is for the store's client to know. It is
// for the start, before anything else asks for buckets.
func (s *stack) whileAnswered(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	a := &answering{Context: ctx, done: make(chan struct{})}
	timer := time.AfterFunc(patience, func() { a.end(context.DeadlineExceeded) })
	stop := context.AfterFunc(ctx, func() { a.end(ctx.Err()) })
	s.answered = func() { timer.Reset(patience) }
	return a, func() {
		timer.Stop()
		stop()
		a.end(context.Canceled)
	}
}

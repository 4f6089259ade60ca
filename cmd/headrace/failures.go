package main

import (
	"context"
	"errors"
	"sync"
)

// failures are what went wrong of many things that go on without each other. The zero value is ready.
type failures struct {
	mu    sync.Mutex // guards what follows
	count int
	first []error // as many as are told
}

// add takes an error over; nil is none.
func (f *failures) add(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.first) < failuresTold {
		f.first = append(f.first, err)
	}
}

// failuresTold is how many failures are told one by one.
const failuresTold = 10

// outcome is what the command ends with.
func (f *failures) outcome(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return fail(exitPartial, ctx.Err(), "interrupted: run it again to go on")
	case f.count > 0:
		told := errors.Join(f.first...)
		return fail(exitPartial, told, "%d failed, the first ones: %v", f.count, told)
	}
	return nil
}

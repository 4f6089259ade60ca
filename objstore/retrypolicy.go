package objstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// RetryPolicy says how long and how eagerly requests are tried again. Zero fields take their defaults.
type RetryPolicy struct {
	// FirstDelay is about how long to wait before the second attempt; it doubles from attempt to attempt, and each wait is
	// drawn between half and all of it, so that many clients hit by one failure do not come back together.
	FirstDelay time.Duration // default 50 ms: a LOTA node that failed one request mostly serves the next

	// MaxDelay bounds the doubling. What the store asks for in Retry-After is honoured beyond it.
	MaxDelay time.Duration // default 5 s

	// Budget is for how long one request is tried without any byte of progress. A wait that would end after it is not
	// begun: the last error is returned instead. A body that moves bytes starts it anew.
	Budget time.Duration // default 60 s

	// OnRetry, if set, is told of each new attempt before the wait for it. It must not block.
	OnRetry func(RetryEvent)

	// Random gives numbers in [0,1) for the jitter; default math/rand/v2.
	Random func() float64
}

// RetryEvent says that a request failed and will be made again.
type RetryEvent struct {
	Op      Op
	Bucket  string
	Key     string        // of a listing, its prefix
	Attempt int           // the one that failed: 1 is the first since the last progress
	Tried   time.Duration // since the first of them failed
	Delay   time.Duration // until the next
	Reached int64         // bytes of the range already delivered when a body is resumed
	Err     error
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.FirstDelay <= 0 {
		p.FirstDelay = 50 * time.Millisecond
	}
	if p.MaxDelay <= 0 {
		p.MaxDelay = 5 * time.Second
	}
	if p.Budget <= 0 {
		p.Budget = time.Minute
	}
	if p.Random == nil {
		p.Random = rand.Float64
	}
	return p
}

// Do makes a request that belongs to no [Bucket], until it succeeds or fails for good as [NewRetry] has it. event says
// what is asked, for OnRetry.
func (p RetryPolicy) Do(ctx context.Context, event RetryEvent, call func(context.Context) error) error {
	p = p.withDefaults()
	a := attempts{policy: &p, event: event}
	return a.again(ctx, call)
}

// delay is how long to wait after the attempt-th failed attempt.
func (p RetryPolicy) delay(attempt int, err error) time.Duration {
	d := p.MaxDelay
	if shift := attempt - 1; shift < 32 && p.FirstDelay<<shift < p.MaxDelay { // 32: far below the overflow of a duration
		d = p.FirstDelay << shift
	}
	d = d/2 + time.Duration(p.Random()*float64(d-d/2))
	if e, ok := errors.AsType[*Error](err); ok {
		d += e.RetryAfter
	}
	return d
}

// corruptAttempts is how often a request whose answer contradicts itself is made in all: a proxy's or one node's fault
// is gone with the next answer, and a lasting one should not look like a slow store.
const corruptAttempts = 3

// retryable tells whether another attempt may end better, after attempt attempts.
func retryable(err error, attempt int) bool {
	switch {
	case errors.Is(err, ErrThrottled), errors.Is(err, ErrTimeout), errors.Is(err, ErrConflict):
		return true
	case errors.Is(err, ErrCorrupt):
		return attempt < corruptAttempts
	case errors.Is(err, ErrNotExist), errors.Is(err, ErrPermission), errors.Is(err, ErrChanged), errors.Is(err, ErrExists),
		errors.Is(err, ErrQuota), errors.Is(err, ErrInvalid), errors.Is(err, ErrUnsupported):
		return false
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Status >= 400 && e.Status < 500 {
		return false // the store understood, and refused
	}
	return true // no answer, a broken one, or 5xx
}

// mayHaveHappened tells whether a write that failed with err may yet have been done by the store.
func mayHaveHappened(err error) bool {
	if errors.Is(err, ErrThrottled) || errors.Is(err, ErrConflict) {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return !ok || e.Status == 0 || e.Status >= http.StatusInternalServerError
}

// attempts is the life of one request: how often it was tried, and until when it may be.
type attempts struct {
	policy  *RetryPolicy
	event   RetryEvent // what stays the same from attempt to attempt
	failed  int        // since the last progress
	started time.Time  // of trying without progress; zero: begins with the next failure
}

// again makes the request until it succeeds or attempts end.
func (a *attempts) again(ctx context.Context, call func(context.Context) error) error {
	for {
		err := call(ctx)
		if err == nil {
			return nil
		}
		if err := a.wait(ctx, err); err != nil {
			return err
		}
	}
}

// wait is called after a failed attempt. It returns nil when another one should be made now, else the error to give up
// with.
func (a *attempts) wait(ctx context.Context, err error) error {
	a.failed++
	if !retryable(err, a.failed) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now, delay := time.Now(), a.policy.delay(a.failed, err)
	if a.started.IsZero() {
		a.started = now
	}
	if now.Add(delay).After(a.started.Add(a.policy.Budget)) {
		return err
	}
	if a.policy.OnRetry != nil {
		event := a.event
		event.Attempt, event.Tried, event.Delay, event.Err = a.failed, now.Sub(a.started), delay, err
		a.policy.OnRetry(event)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// progress forgets the failures so far.
func (a *attempts) progress() { a.failed, a.started = 0, time.Time{} }

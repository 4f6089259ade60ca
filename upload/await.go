package upload

import (
	"context"
	"time"

	"github.com/headrace/headrace/objstore"
)

// await waits until ended is closed, or ctx ends, or nothing has moved for as long as timeout: objstore.ErrTimeout.
// moved is when something last did, in Unix nanoseconds.
func await(ctx context.Context, ended <-chan struct{}, timeout time.Duration, moved func() int64) error {
	began := time.Now()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			idle := time.Since(time.Unix(0, max(moved(), began.UnixNano())))
			if idle >= timeout {
				return objstore.ErrTimeout
			}
			timer.Reset(timeout - idle)
		}
	}
}

// wait waits for one of p's channels.
func (p *publication) wait(ctx context.Context, ended <-chan struct{}, timeout time.Duration) error {
	return await(ctx, ended, timeout, p.moved.Load)
}

// awaitMoves waits for the end of what objects are moved for: a hold, or that a file is withdrawn.
func (u *Uploads) awaitMoves(ctx context.Context, ended <-chan struct{}) error {
	return await(ctx, ended, u.cfg.CloseTimeout, u.mover.moved.Load)
}

// quiet waits for a publication under way.
func (f *File) quiet(ctx context.Context) error {
	f.mu.Lock()
	p := f.publication
	f.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.wait(ctx, p.done, f.uploads.cfg.CloseTimeout)
}

package upload

import (
	"context"
	"sync"
)

// turnstile has writers, of whom many go in together, and who needs the file for itself take turns. Whoever waits for
// all others to leave keeps new ones out.
type turnstile struct {
	mu      sync.Mutex // guards what is below
	inside  int
	held    bool
	waiting int           // who wants it for itself
	changed chan struct{} // closed, and made anew, when somebody may go in
}

func newTurnstile() *turnstile { return &turnstile{changed: make(chan struct{})} }

// enter lets a writer in; leave ends that.
func (t *turnstile) enter(ctx context.Context) error {
	return t.wait(ctx, func() bool {
		if t.held || t.waiting > 0 {
			return false
		}
		t.inside++
		return true
	})
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside--; t.inside == 0 && t.waiting > 0 {
		t.wake()
	}
}

// hold keeps everybody else out; release ends that.
func (t *turnstile) hold(ctx context.Context) error {
	t.mu.Lock()
	t.waiting++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting--
		t.wake()
	}()
	return t.wait(ctx, func() bool {
		if t.held || t.inside > 0 {
			return false
		}
		t.held = true
		return true
	})
}

func (t *turnstile) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	t.wake()
}

// wait tries until it may.
func (t *turnstile) wait(ctx context.Context, try func() bool) error {
	for {
		t.mu.Lock()
		if try() {
			t.mu.Unlock()
			return nil
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake has all who wait try again. The caller holds mu.
func (t *turnstile) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

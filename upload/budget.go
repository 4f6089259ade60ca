package upload

import (
	"context"
	"sync"
	"syscall"
	"time"
)

// budget is the room that staging files have on the disk.
type budget struct {
	limit   int64
	timeout time.Duration // without anybody giving anything back

	mu      sync.Mutex // guards what is below
	used    int64
	changed chan struct{} // closed, and made anew, when some was given back
}

func newBudget(limit int64, timeout time.Duration) *budget {
	return &budget{limit: limit, timeout: timeout, changed: make(chan struct{})}
}

// take waits until there is room for n bytes more. full is called each time there is none, and may make some. ENOSPC
// when for too long nobody gives any back.
func (b *budget) take(ctx context.Context, n int64, full func()) error {
	for {
		b.mu.Lock()
		if b.used+n <= b.limit || b.used == 0 {
			b.used += n
			b.mu.Unlock()
			return nil
		}
		changed := b.changed
		b.mu.Unlock()
		full()
		timer := time.NewTimer(b.timeout)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return syscall.ENOSPC
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// force takes bytes whether there is room or not.
func (b *budget) force(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
}

// give gives bytes back.
func (b *budget) give(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	close(b.changed)
	b.changed = make(chan struct{})
}

// poke has who waits for room look again.
func (b *budget) poke() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// inUse is how much is taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

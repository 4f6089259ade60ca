package names

import (
	"context"

	"github.com/headrace/headrace/objstore"
)

// flight is one question about a name, under way, and all who wait for its answer. Its context is its own: one who
// gives up does not end it for the others, and the last who gives up does.
type flight struct {
	asked  moment
	cancel context.CancelFunc
	done   chan struct{} // closed when answer and err are set

	waiters int // guarded by Tree.mu

	answer answer
	err    error
}

// share gives what is known of a name, or asks for it together with whoever else does.
func (t *Tree) share(ctx context.Context, a address, target target) (Item, error) {
	if err := ctx.Err(); err != nil {
		return Item{}, err
	}
	t.mu.Lock()
	if item, ok := t.own.lookup(a, target); ok {
		item.Confirmed = t.memory.stamp().at
		t.mu.Unlock()
		return item, nil
	}
	if ans, ok := t.memory.lookup(a); ok {
		t.mu.Unlock()
		return ans.result()
	}
	f := t.flights[a]
	// A question may be shared as long as its answer could be given from memory.
	if f == nil || !t.memory.young(f.asked, false) || !t.memory.valid(a, f.asked) {
		if f = t.launch(a, target); f == nil {
			t.mu.Unlock()
			return Item{}, context.Canceled
		}
	}
	f.waiters++
	t.mu.Unlock()
	select {
	case <-f.done:
		if f.err != nil {
			return Item{}, f.err
		}
		return f.answer.result()
	case <-ctx.Done():
		t.abandon(a, f)
		return Item{}, ctx.Err()
	}
}

func (a answer) result() (Item, error) {
	if !a.found {
		return Item{}, objstore.ErrNotExist
	}
	return a.item, nil
}

// launch begins a flight; nil when the tree is closed. The caller holds t.mu.
func (t *Tree) launch(a address, target target) *flight {
	ctx, cancel := context.WithCancel(t.ctx)
	f := &flight{asked: t.memory.stamp(), cancel: cancel, done: make(chan struct{})}
	if !t.start(func() { t.fly(ctx, a, target, f) }) {
		cancel()
		return nil
	}
	t.flights[a] = f
	return f
}

func (t *Tree) fly(ctx context.Context, a address, target target, f *flight) {
	defer f.cancel()
	listed, ok := t.awaitAhead(ctx, a, target)
	if !ok {
		listed, ok = t.kept(ctx, a)
	}
	if !ok {
		listed, ok = t.survey(ctx, a)
	}
	f.answer = listed
	if !ok {
		item, found, err := t.ask(ctx, a, target)
		item.Confirmed = f.asked.at
		f.answer, f.err = answer{item: item, found: found, asked: f.asked}, err
	}
	t.mu.Lock()
	if !ok && f.err == nil {
		t.memory.remember(a, f.answer)
		if !f.answer.found {
			t.bursts.missing(a.dir, t.memory.now())
		}
	}
	t.land(a, f)
	t.mu.Unlock()
	close(f.done)
}

// land takes a flight out of the way of new ones. The caller holds t.mu.
func (t *Tree) land(a address, f *flight) {
	if t.flights[a] == f {
		delete(t.flights, a)
	}
}

// abandon is called by a waiter that gives up.
func (t *Tree) abandon(a address, f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		t.land(a, f)
		f.cancel()
	}
}

package fs

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// nameTurns has changes of names take turns that are in each other's way: of the same name, or of one and of something
// below it. The kernel sees to that only while a request is under way, and not for what is deeper in a directory than
// one name.
//
// A turn is taken once for all names of a change and nobody who has one waits for another, so there is no deadlock; who
// came first goes first.
type nameTurns struct {
	mu      sync.Mutex // guards what is below; names are asked for within it, and change only within the turn of who changes them
	queue   []*nameTurn
	changed chan struct{} // closed, and made anew, when a turn has ended
}

// nameTurn is a change under way, or one that waits.
type nameTurn struct {
	volume *volume
	paths  func() []string // by the names that are shown
	taken  bool
}

// take waits until nothing is in the way of a change of these names, and keeps others out of its way until done. ctx
// ends the waiting.
func (t *nameTurns) take(ctx context.Context, v *volume, paths func() []string) (done func(), err error) {
	turn := &nameTurn{volume: v, paths: paths}
	t.mu.Lock()
	t.queue = append(t.queue, turn)
	done = func() { t.end(turn) }
	for t.mustWait(turn) {
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			done()
			return nil, ctx.Err()
		}
		t.mu.Lock()
	}
	names := turn.paths() // they stay: who would change them has to wait
	turn.paths, turn.taken = func() []string { return names }, true
	t.mu.Unlock()
	return done, nil
}

func (t *nameTurns) end(turn *nameTurn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.DeleteFunc(t.queue, func(q *nameTurn) bool { return q == turn })
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// mustWait tells whether somebody who came before is in the way. The caller holds mu.
func (t *nameTurns) mustWait(turn *nameTurn) bool {
	paths := turn.paths()
	for _, before := range t.queue {
		if before == turn {
			return false
		}
		if before.volume == turn.volume && meet(before.paths(), paths) {
			return true
		}
	}
	return false
}

// settled waits until nobody is changing a node's name, or what its object is called; waited tells whether it had to.
func (t *nameTurns) settled(ctx context.Context, n *node) (waited bool, err error) {
	for {
		t.mu.Lock()
		path := []string{n.shown()}
		busy := slices.ContainsFunc(t.queue, func(q *nameTurn) bool { return q.taken && q.volume == n.volume && meet(q.paths(), path) })
		if busy && t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		if !busy {
			return waited, nil
		}
		waited = true
		select {
		case <-changed:
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// meet tells whether one of the paths is one of the others, or above or below it.
func meet(some, others []string) bool {
	for _, a := range some {
		for _, b := range others {
			if rest, ok := strings.CutPrefix(a, b); ok && (rest == "" || rest[0] == '/') {
				return true
			}
			if rest, ok := strings.CutPrefix(b, a); ok && rest != "" && rest[0] == '/' {
				return true
			}
		}
	}
	return false
}

// shown is the path of a node below its bucket, by the name that it has in its directory.
func (n *node) shown() string {
	l := n.where.Load()
	if l.parent == nil {
		return l.key
	}
	return l.parent.key() + l.name
}

// nameIn is the path of a name in a directory, as shown has it, for [nameTurns].
func nameIn(dir *node, name string) func() []string {
	return func() []string { return []string{dir.key() + name} }
}

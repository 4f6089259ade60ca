package fs

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// lockTable holds the locks of a mount. Deadlocks between waiting owners are not looked for: a wait ends with a signal.
//
// INVARIANT: a path is in the table only while somebody holds or waits for a lock on it.
// INVARIANT: a lock is on the path that the node it was taken by has for locks, also after a rename: by that path it is
// given back.
type lockTable struct {
	// LOCK ORDER: mu, then those of the table of nodes and of nodes.
	mu    sync.Mutex // guards everything below; a node's path is asked for within it, and changes within it
	paths map[lockPath]*pathLocks
}

// lockPath names what locks are on: a path, whatever version or node id it has now. What has no name any more is by
// itself.
type lockPath struct {
	volume  *volume
	key     string
	removed uint64 // the node id of what was removed; 0 for what has a name
}

// pathLocks are the locks on one path. flock and fcntl locks do not see each other, as on every Linux file system.
type pathLocks struct {
	path           lockPath
	flocks, ranges lockSet

	waiting map[*node]int // how many wait for changed, by the node by which they want the lock
	changed chan struct{} // closed, and made anew, when something was given back
}

func (p *pathLocks) set(flock bool) *lockSet {
	if flock {
		return &p.flocks
	}
	return &p.ranges
}

// at is the locks on a path, for use within mu; tidy ends the use.
func (t *lockTable) at(path lockPath) *pathLocks {
	p := t.paths[path]
	if p == nil {
		p = &pathLocks{path: path, waiting: make(map[*node]int), changed: make(chan struct{})}
		if t.paths == nil {
			t.paths = make(map[lockPath]*pathLocks)
		}
		t.paths[path] = p
	}
	return p
}

func (t *lockTable) tidy(p *pathLocks) {
	if len(p.flocks)+len(p.ranges)+len(p.waiting) == 0 {
		delete(t.paths, p.path)
	}
}

// test finds what is in the way of l.
func (t *lockTable) test(flock bool, l lock) (lock, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.at(l.node.lockPath())
	defer t.tidy(p)
	return p.set(flock).conflict(l)
}

// try takes l if nothing is in the way, and else says what to wait for before trying again; done ends the waiting.
// A flock that changes its kind is given back first, as the kernel does: two who both want to go from shared to
// exclusive get there one after the other.
func (t *lockTable) try(flock bool, l lock) (taken bool, changed <-chan struct{}, done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.at(l.node.lockPath())
	defer t.tidy(p)
	set := p.set(flock)
	if _, blocked := set.conflict(l); !blocked {
		shrinks := !l.exclusive // what was exclusive may now be shared
		*set = set.lock(l)
		if shrinks {
			p.wake()
		}
		return true, nil, nil
	}
	if kept := set.unlock(l); flock && len(kept) < len(*set) {
		*set = kept
		p.wake()
	}
	p.waiting[l.node]++
	return false, p.changed, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if p.waiting[l.node]--; p.waiting[l.node] == 0 {
			delete(p.waiting, l.node)
		}
		t.tidy(p)
	}
}

// unlock gives l's range back.
func (t *lockTable) unlock(flock bool, l lock) {
	t.give(l.node, func(p *pathLocks) { *p.set(flock) = p.set(flock).unlock(l) })
}

// release gives back all that owner holds on a node's path.
func (t *lockTable) release(n *node, flock bool, owner uint64) {
	t.give(n, func(p *pathLocks) { *p.set(flock) = p.set(flock).release(owner) })
}

// takenBy notes that an owner has a lock on a range by way of a handle.
func (t *lockTable) takenBy(h *fileHandle, owner uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(h.lockOwners, owner) {
		h.lockOwners = append(h.lockOwners, owner)
	}
}

// releaseHandle gives back the ranges that were locked by way of a handle.
func (t *lockTable) releaseHandle(h *fileHandle) {
	t.mu.Lock()
	owners := h.lockOwners
	t.mu.Unlock()
	for _, owner := range owners {
		t.release(h.node, false, owner)
	}
}

// move has change give n another path, and all that is below it, or none, and takes locks along: also those by nodes of
// earlier versions of n, which keep their names. Who waits looks anew at what is in the way where its node is now. It
// costs what is locked there; of a directory, a look at each path with locks.
func (t *lockTable) move(n *node, change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var touched []*pathLocks
	if n.dir {
		touched = t.below(n)
	} else if p := t.paths[n.lockPath()]; p != nil {
		p.join(n.lockRoot())
		touched = []*pathLocks{p}
	}
	change()
	for _, p := range touched {
		t.sort(p)
	}
}

// below are the locks on files of which the keys begin with a directory's.
func (t *lockTable) below(dir *node) (below []*pathLocks) {
	for path, p := range t.paths {
		if path.volume == dir.volume && strings.HasPrefix(path.key, dir.key()) {
			below = append(below, p)
		}
	}
	return below
}

// join has all nodes by which locks on the path are held, or waited for, go by the path of one of them from now on.
func (p *pathLocks) join(to *node) {
	with := func(n *node) {
		if joined := n.lockRoot(); joined != to {
			joined.lockedWith = to
		}
	}
	for _, l := range slices.Concat(p.flocks, p.ranges) {
		with(l.node)
	}
	for n := range p.waiting {
		with(n)
	}
}

// sort puts locks where their nodes are now.
func (t *lockTable) sort(p *pathLocks) {
	for _, flock := range []bool{true, false} {
		set := p.set(flock)
		for _, l := range *set {
			if now := l.node.lockPath(); now != p.path {
				to := t.at(now).set(flock)
				*to = append(*to, l)
			}
		}
		*set = slices.DeleteFunc(*set, func(l lock) bool { return l.node.lockPath() != p.path })
	}
	p.wake()
	t.tidy(p)
}

func (t *lockTable) give(n *node, change func(*pathLocks)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[n.lockPath()]
	if p == nil {
		return
	}
	change(p)
	p.wake()
	t.tidy(p)
}

// wake has all who wait try again. There are few, and the first to come wins, as with the kernel's own locks.
func (p *pathLocks) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// lock waits until l is taken or ctx ends.
func (t *lockTable) lock(ctx context.Context, flock bool, l lock) error {
	for {
		taken, changed, done := t.try(flock, l)
		if taken {
			return nil
		}
		select {
		case <-changed:
			done()
		case <-ctx.Done():
			done()
			return ctx.Err()
		}
	}
}

// len is on how many paths there are locks.
func (t *lockTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.paths)
}

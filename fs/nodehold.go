package fs

import (
	"strings"

	"github.com/headrace/headrace/fs/names"
)

// hold keeps a file's node, and the directories above it, in the table until unhold, whatever the kernel forgets: while
// it is being written its name must lead to it.
func (t *nodeTable) hold(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; n.parent() != nil; n = n.parent() {
		n.holds++
	}
}

// unhold ends what hold began.
func (t *nodeTable) unhold(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n.parent() != nil {
		above := n.parent()
		n.holds--
		t.tidy(n)
		n = above
	}
}

// held are the files that are being written.
func (t *nodeTable) held() (held []*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.byID {
		if !n.dir && n.holds > 0 {
			held = append(held, n)
		}
	}
	return held
}

// current tells whether a node is what its name means.
func (t *nodeTable) current(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.parent() == nil || t.byName[n.at()] == n
}

// add counts one lookup of a new node that is made here and not in the store; nil when the name means something
// already.
func (t *nodeTable) add(parent *node, item names.Item) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.byName[childName{parent.id, item.Name}]; n != nil && n.isWritten() {
		return nil
	}
	n := t.make(parent, parent.volume, item)
	n.lookups++
	return n
}

// move gives a node, and all that is below it, another name. What had that name is only known by its id from now on.
func (t *nodeTable) move(n, parent *node, name, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := n.where.Load()
	if t.byName[n.at()] == n {
		delete(t.byName, n.at())
	}
	if n.holds > 0 {
		t.shiftHolds(was.parent, -n.holds)
		t.shiftHolds(parent, n.holds)
	}
	n.where.Store(&location{parent: parent, name: name, key: key})
	t.byName[n.at()] = n
	t.moved[n.ino] = n
	if !n.dir {
		return
	}
	for _, below := range t.byID {
		if below.isBelow(n) {
			l := *below.where.Load()
			if rest, ok := strings.CutPrefix(l.key, was.key); ok {
				l.key = key + rest
				below.where.Store(&l)
			}
		}
	}
}

// shiftHolds changes the holds of a directory and of those above it. The caller holds mu.
func (t *nodeTable) shiftHolds(n *node, by int) {
	for n.parent() != nil {
		above := n.parent()
		n.holds += by
		t.tidy(n)
		n = above
	}
}

// below are the files at any depth below a directory that the table knows.
func (t *nodeTable) below(dir *node) (files []*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.byID {
		if !n.dir && n.isBelow(dir) {
			files = append(files, n)
		}
	}
	return files
}

// isBelow tells whether a node is anywhere below a directory.
func (n *node) isBelow(dir *node) bool {
	for n = n.parent(); n != nil; n = n.parent() {
		if n == dir {
			return true
		}
	}
	return false
}

// isWritten tells whether the node has an upload.
func (n *node) isWritten() bool { return n.writing() != nil }

package fs

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
)

// childName is a name in a directory.
type childName struct {
	parent uint64 // node id
	name   string
}

// nodeTable knows the nodes the kernel knows.
//
// INVARIANT: the root is in it for ever; every other node has at least one lookup or is held, and goes with the last of
// these.
// INVARIANT: a name has at most one node that is looked up by it, and that node is in the table under its id.
// INVARIANT: ids grow and are never used again, not even after the node is gone.
type nodeTable struct {
	limit   int           // how many nodes are too many
	crowded chan struct{} // has a token when there are too many nodes; see pruner

	mu     sync.Mutex // guards everything below, and the nodes' counts of lookups
	last   uint64     // the highest id given
	byID   map[uint64]*node
	byName map[childName]*node // what a name means now; nodes of earlier versions are only in byID
	moved  map[uint64]*node    // by st_ino, those that were renamed: no other node may have it meanwhile
}

// newNodeTable makes a table with its root.
func newNodeTable(root *node) *nodeTable {
	root.id = fuse.FUSE_ROOT_ID
	return &nodeTable{
		limit:   maxNodes,
		crowded: make(chan struct{}, 1),
		last:    fuse.FUSE_ROOT_ID,
		byID:    map[uint64]*node{fuse.FUSE_ROOT_ID: root},
		byName:  map[childName]*node{},
		moved:   map[uint64]*node{},
	}
}

// get is the node with an id, nil when the kernel should not know it.
func (t *nodeTable) get(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// known is the node a name was last found to mean, nil when there is none. It is only to be looked at: no lookup is
// counted.
func (t *nodeTable) known(parent *node, name string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[childName{parent.id, name}]
}

// enter counts one lookup of what item names in parent, by the node it already has or a new one, and notes what the
// store said. An answer that is older than what is known of the name does not undo it.
func (t *nodeTable) enter(parent *node, v *volume, item names.Item) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := childName{parent.id, item.Name}
	n := t.byName[at]
	if n != nil {
		if n.means(item) {
			n.update(item)
		} else if !item.Confirmed.Before(n.confirmedAt()) {
			n = nil
		}
	}
	if n == nil {
		n = t.make(parent, v, item)
	}
	n.lookups++
	return n
}

// make adds a node, which is what its name means from now on. The caller holds mu.
func (t *nodeTable) make(parent *node, v *volume, item names.Item) *node {
	t.last++
	n := newNode(t.last, parent, v, item)
	for t.moved[n.ino] != nil {
		n.ino++
	}
	t.byID[n.id] = n
	t.byName[n.at()] = n
	// Not again and again where the kernel has a use for them all.
	if len(t.byID) > t.limit && t.last%pruneBatch == 0 {
		select {
		case t.crowded <- struct{}{}:
		default:
		}
	}
	return n
}

// oldest is the nodes with the lowest ids, all but the newest so many, as far as nobody has them open.
func (t *nodeTable) oldest(keep int) (victims []*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := slices.Sorted(maps.Keys(t.byID))
	for _, id := range ids[:max(0, len(ids)-keep)] {
		if n := t.byID[id]; n.parent() != nil && !n.isOpen() {
			victims = append(victims, n)
		}
	}
	return victims
}

// again counts one more lookup of a node that was found by known; false when it has gone meanwhile.
func (t *nodeTable) again(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.lookups == 0 || t.byName[n.at()] != n {
		return false
	}
	n.lookups++
	return true
}

// retire has the node's name not mean it any more; did is false when it did not before. The node stays until the kernel
// forgets it.
func (t *nodeTable) retire(n *node) (did bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if did = t.byName[n.at()] == n; did {
		delete(t.byName, n.at())
	}
	return did
}

// forget takes back that many lookups.
func (t *nodeTable) forget(id, lookups uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil || n.parent() == nil {
		return
	}
	n.lookups -= min(n.lookups, lookups)
	t.tidy(n)
}

// tidy removes a node that nobody has a use for. The caller holds mu.
func (t *nodeTable) tidy(n *node) {
	if n.lookups > 0 || n.holds > 0 || n.parent() == nil {
		return
	}
	delete(t.byID, n.id)
	if t.byName[n.at()] == n {
		delete(t.byName, n.at())
	}
	if t.moved[n.ino] == n {
		delete(t.moved, n.ino)
	}
}

// len counts the nodes.
func (t *nodeTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// at is where the node is, or was, found by name.
func (n *node) at() childName { return childName{n.parent().id, n.name()} }

// check verifies the invariants.
func (t *nodeTable) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if root := t.byID[fuse.FUSE_ROOT_ID]; root == nil || root.parent() != nil {
		return fmt.Errorf("the root is %v", root)
	}
	for id, n := range t.byID {
		switch {
		case n.id != id:
			return fmt.Errorf("node %d is under %d", n.id, id)
		case id > t.last:
			return fmt.Errorf("node %d is above the last id given, %d", id, t.last)
		case n.parent() != nil && n.lookups == 0 && n.holds == 0:
			return fmt.Errorf("node %d has no lookups and is not held", id)
		}
	}
	for at, n := range t.byName {
		if t.byID[n.id] != n || n.at() != at {
			return fmt.Errorf("name %v means node %d, which is not there or elsewhere", at, n.id)
		}
	}
	return nil
}

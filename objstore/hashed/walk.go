package hashed

import (
	"container/heap"

	"github.com/headrace/headrace/objstore"
)

// walker goes through a segment and the changes over it, in the order of keys. What was removed it leaves out.
type walker struct {
	cursor  cursor
	changes overlay

	inSegment bool // the cursor is at an entry
	at        int  // in changes
}

// seek goes to the first key that is not before key; false when there is none.
func (w *walker) seek(key string) bool {
	w.inSegment = w.cursor.seek(key)
	w.at, _ = w.changes.find(key)
	return w.settle()
}

// advance goes to the next key.
func (w *walker) advance() bool {
	if w.changed() {
		w.pass()
	} else {
		w.inSegment = w.cursor.advance()
	}
	return w.settle()
}

// nearby is how many keys are gone past one by one before it is cheaper to look for the place: about a block.
const nearby = blockKeys

// skip goes to the first key that is not before key, from one that is. Of a directory's keys a run has few, so it is
// mostly near.
func (w *walker) skip(key string) bool {
	for range nearby {
		if w.key() >= key {
			return true
		}
		if !w.advance() {
			return false
		}
	}
	return w.seek(key)
}

// changed tells whether a change comes next, be it over the segment's entry or before it.
func (w *walker) changed() bool {
	return w.at < len(w.changes) && (!w.inSegment || w.changes[w.at].entry.Key <= string(w.cursor.key))
}

// pass goes past a change, and the entry that it is over.
func (w *walker) pass() {
	if w.inSegment && string(w.cursor.key) == w.changes[w.at].entry.Key {
		w.inSegment = w.cursor.advance()
	}
	w.at++
}

// settle goes past what was removed; false at the end.
func (w *walker) settle() bool {
	for w.changed() {
		if !w.changes[w.at].removed {
			return true
		}
		w.pass()
	}
	return w.inSegment
}

func (w *walker) key() string {
	if w.changed() {
		return w.changes[w.at].entry.Key
	}
	return string(w.cursor.key)
}

func (w *walker) entry() objstore.Entry {
	if w.changed() {
		return w.changes[w.at].entry
	}
	return w.cursor.present()
}

// merge goes through many walkers at a time: a heap, the least key first.
type merge struct {
	walkers []*walker
	keys    []string // of the walkers
}

func (m *merge) Len() int           { return len(m.walkers) }
func (m *merge) Less(i, j int) bool { return m.keys[i] < m.keys[j] }
func (m *merge) Swap(i, j int) {
	m.walkers[i], m.walkers[j] = m.walkers[j], m.walkers[i]
	m.keys[i], m.keys[j] = m.keys[j], m.keys[i]
}

// Push is not used: the walkers are there from the beginning.
func (m *merge) Push(any) {}

// Pop drops the last.
func (m *merge) Pop() any {
	m.walkers, m.keys = m.walkers[:len(m.walkers)-1], m.keys[:len(m.keys)-1]
	return nil
}

// newMerge begins at the first key that is not before key.
func newMerge(walkers []*walker, key string) *merge {
	m := &merge{}
	for _, w := range walkers {
		if w.seek(key) {
			m.walkers, m.keys = append(m.walkers, w), append(m.keys, w.key())
		}
	}
	heap.Init(m)
	return m
}

// key is the least one; false at the end.
func (m *merge) key() (string, bool) {
	if len(m.walkers) == 0 {
		return "", false
	}
	return m.keys[0], true
}

func (m *merge) entry() objstore.Entry { return m.walkers[0].entry() }

// next goes past the least key.
func (m *merge) next() { m.moved(m.walkers[0].advance()) }

// skip goes to the first key that is not before key.
func (m *merge) skip(key string) {
	for len(m.walkers) > 0 && m.keys[0] < key {
		m.moved(m.walkers[0].skip(key))
	}
}

// moved puts the first walker where it belongs after it has moved, if it has not ended.
func (m *merge) moved(on bool) {
	if !on {
		heap.Remove(m, 0)
		return
	}
	m.keys[0] = m.walkers[0].key()
	heap.Fix(m, 0)
}

package names

import "sync"

// Ahead walks what is remembered of a directory's listing, from after one name to its end and then from its start, for
// callers who foresee what will be opened. It asks nothing. It holds no names: a listing that gives way to a younger
// one begins anew.
type Ahead struct {
	tree *Tree
	dir  string

	mu      sync.Mutex // guards what is below; taken before Tree.mu
	after   string
	listing *listing // nil before the first Next
	block   int      // counted with the dropped ones
	at      int      // records of it that were passed
	rest    int      // blocks still to come; those that come later are not waited for
}

// Ahead begins to walk dir after a name of it; nil when no listing of it that says anything of the name is remembered.
func (t *Tree) Ahead(dir, after string) *Ahead {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.memory.listings.Peek(dir)
	if !ok {
		return nil
	}
	for _, b := range l.blocks {
		if b.find(after) != nil {
			return &Ahead{tree: t, dir: dir, after: after}
		}
	}
	return nil
}

// lookedAt is how many names are looked at in one go, for those of files: everybody who looks a name up waits
// meanwhile.
const lookedAt = 1024

// Next gives up to n files that come next; more is false at the end. There may be none before it: not many names are
// looked at in one go. What this mount writes, or what was forgotten since it was listed, is left out.
func (a *Ahead) Next(n int) (items []Item, more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.memory.listings.Peek(a.dir)
	if !ok {
		return nil, false
	}
	if l != a.listing {
		a.begin(l)
	}
	for left := lookedAt; a.rest > 0; a.rest-- {
		i := a.block - l.dropped
		if i < 0 || i >= len(l.blocks) { // dropped, or the end: go on at the start
			a.block, a.at, i = l.dropped, 0, 0
			if len(l.blocks) == 0 {
				return items, false
			}
		}
		b := l.blocks[i]
		for ; a.at < len(b.records); a.at++ {
			if left--; len(items) == n || left < 0 {
				return items, true
			}
			if r := &b.records[a.at]; !r.dir && t.memory.valid(address{a.dir, r.name}, b.asked) {
				if _, own := t.own.held[a.dir][r.name]; !own {
					a.after = r.name
					items = append(items, r.item(b.asked.at))
				}
			}
		}
		a.block, a.at = a.block+1, 0
	}
	return items, false
}

// begin goes to where the name passed last is in a listing. The block it is in is walked once more at the end, for what
// is before it. The caller holds Tree.mu.
func (a *Ahead) begin(l *listing) {
	a.listing, a.block, a.at, a.rest = l, l.dropped, 0, len(l.blocks)+1
	for i, b := range l.blocks {
		if j := b.index(a.after); j >= 0 {
			a.block, a.at = l.dropped+i, j+1
			return
		}
	}
}

package names

import (
	"context"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

const (
	// inOrder is how many names of a directory are asked for one by one, in the order of its listing, before what follows
	// is listed again instead. A page takes the store about as long as two or three single names, so it is soon worth it;
	// and where no page lasts, since answers are good for too short a time, it costs an eighth more.
	inOrder = 8
	// soonAfter is how far the next of such names may be from the one before, in names: some are skipped, or known
	// otherwise.
	soonAfter = 16
	// maxRenewals bounds the directories that are noticed.
	maxRenewals = 256
)

// renewals notices those who go through the names of a directory when its listing has become too old to be believed:
// find, du and the like list all first, and then ask for each. So the store is asked for a page of a thousand names
// where it would be asked for each of them. It is a value: no lock.
type renewals struct {
	of *simplelru.LRU[string, *renewal]
}

type renewal struct {
	last string // the name asked for last, or the last one that was listed again
	run  int    // how many were asked for in order, up to it
	busy bool   // a page is being listed; who asks meanwhile asks for the name
}

func newRenewals() renewals {
	of, _ := simplelru.NewLRU[string, *renewal](maxRenewals, nil) // a size that is not positive is the only error
	return renewals{of: of}
}

// asks notes that the store is to be asked for a name that l has, and tells whether to list from there on. Whoever does
// calls done.
func (r *renewals) asks(l *listing, name string) bool {
	w, ok := r.of.Get(l.dir)
	if !ok {
		w = &renewal{}
		r.of.Add(l.dir, w)
	}
	if l.soonAfter(w.last, name) {
		w.run++
	} else {
		w.run = 0
	}
	w.last = name
	if w.busy || w.run < inOrder {
		return false
	}
	w.busy = true
	return true
}

// done notes up to which name a directory was listed again: who asks for the next one goes on in order. There are no
// records where the store did not tell.
func (r *renewals) done(dir string, records []record) {
	w, ok := r.of.Peek(dir)
	if !ok {
		return
	}
	if w.busy = false; len(records) > 0 {
		w.last = records[len(records)-1].name
	}
}

// place is where a listing has a name: the block's place, and the record's in it.
func (l *listing) place(name string) (block, record int, ok bool) {
	for i, b := range l.blocks {
		if at := b.index(name); at >= 0 {
			return i, at, true
		}
	}
	return 0, 0, false
}

// soonAfter tells whether a name comes within soonAfter names after another.
func (l *listing) soonAfter(before, name string) bool {
	block, at, ok := l.place(before)
	if !ok {
		return false
	}
	left := soonAfter
	for ; block < len(l.blocks) && left > 0; block, at = block+1, -1 {
		records := l.blocks[block].records[at+1:]
		for i := range records[:min(left, len(records))] {
			if records[i].name == name {
				return true
			}
		}
		left -= len(records)
	}
	return false
}

// startOf is a key after which a store lists a name that l has, and little before it. Records are not quite in the
// order of their keys: see [record.rank].
func (l *listing) startOf(name string) string {
	block, at, ok := l.place(name)
	if !ok {
		return ""
	}
	key := l.blocks[block].records[at].key
	for left := soonAfter; left > 0; left-- {
		if at--; at < 0 {
			if block--; block < 0 {
				return ""
			}
			at = len(l.blocks[block].records) - 1
		}
		if before := l.blocks[block].records[at].key; before < key {
			return before
		}
	}
	return ""
}

// renew asks for a file by a page of the listing of its directory, if those before it were asked for one by one: false
// where that is not so, or the page does not tell. What else the page says is remembered.
func (t *Tree) renew(ctx context.Context, a address) (answer, bool) {
	if _, local := t.store.(objstore.Indexed); local { // which is as old as its index
		return answer{}, false
	}
	t.mu.Lock()
	l, ok := t.memory.listings.Peek(a.dir)
	if !ok || t.memory.ttl <= 0 || !t.renewals.asks(l, a.name) {
		t.mu.Unlock()
		return answer{}, false
	}
	after, asked := l.startOf(a.name), t.memory.stamp()
	t.mu.Unlock()
	records := t.pageAfter(ctx, a.dir, after, asked)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewals.done(a.dir, records)
	var found answer
	for i := range records {
		ans := answer{item: records[i].item(asked.at), found: true, asked: asked}
		t.memory.remember(address{a.dir, records[i].name}, ans)
		if records[i].name == a.name && !records[i].dir {
			found = ans
		}
	}
	return found, found.found
}

// pageAfter are the names of one page of a directory's listing: none when the store does not tell, so that whoever asks
// for the name itself is told why.
func (t *Tree) pageAfter(ctx context.Context, dir, after string, asked moment) []record {
	c := classifier{dir: dir}
	for page, err := range t.store.List(metadata(ctx), objstore.ListOptions{Prefix: dir, Delimiter: "/", StartAfter: after}) {
		if err != nil {
			return nil
		}
		if c.add(page, asked); page.Last {
			c.finish()
		}
		break
	}
	records, _ := c.take()
	return records
}

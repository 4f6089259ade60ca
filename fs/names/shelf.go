package names

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

// Shelf keeps listings across restarts, in blocks that mean nothing to it. It must not find a listing that was asked
// for before this mount, or another with the same shelf, last changed the directory; else what is found is as good as
// what the store said at that time. None of its methods waits for more than a local disk.
type Shelf interface {
	// Load finds a directory's listing, and has use take its blocks until it is false: all in their order, or, if name is
	// not "", those that may have the name. may is asked first, with the moment at which the store was asked, and whether
	// that was with other credentials. found is false when there is none, or may says no; use was not called then. The
	// error is that the rest is damaged.
	Load(dir, name string, may func(asked time.Time, stranger bool) bool, use func(block []byte) bool) (found bool, err error)
	// Save begins to keep a listing, before the store is asked for it: add takes blocks with their first and last names in
	// the order of bytes, and is false when the listing was given up; end says that it is whole, or is not to be kept.
	// Both are nil when nothing is kept.
	Save(dir string) (add func(first, last string, block []byte) bool, end func(whole bool))
	// Doubt has a directory's listing not be found any more.
	Doubt(dir string)
}

// maxProven is of how many directories it is remembered that the store has been asked whether they may be listed.
const maxProven = 4096

// keeping is what a tree does with its shelf.
type keeping struct {
	shelf   Shelf  // nil for none
	process uint64 // tells the numbers of this tree's moments from those of others
	proven  *simplelru.LRU[string, struct{}]
}

// newKeeping is without a shelf where listings cost nothing.
func newKeeping(shelf Shelf, store Store) keeping {
	if _, local := store.(objstore.Indexed); local {
		shelf = nil
	}
	var id [8]byte
	_, _ = rand.Read(id[:])                                         // never fails
	proven, _ := simplelru.NewLRU[string, struct{}](maxProven, nil) // a size that is not positive is the only error
	return keeping{shelf: shelf, process: binary.LittleEndian.Uint64(id[:]), proven: proven}
}

// doubt has what is kept of a directory not be used any more.
func (t *Tree) doubt(dir string) {
	if t.keeping.shelf != nil {
		t.keeping.shelf.Doubt(dir)
	}
}

// mayUse tells whether a kept listing may be given: it is young enough, and what other credentials have listed these
// may list too.
func (t *Tree) mayUse(ctx context.Context, dir string, asked time.Time, stranger bool) bool {
	t.mu.Lock()
	young := t.memory.young(moment{at: asked}, true)
	known := t.keeping.proven.Contains(dir)
	t.mu.Unlock()
	if !young || !stranger || known {
		return young
	}
	for _, err := range t.store.List(ctx, objstore.ListOptions{Prefix: dir, Delimiter: "/", PageSize: 1}) {
		if err != nil {
			return false
		}
		break
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keeping.proven.Add(dir, struct{}{})
	return true
}

// replay gives a listing's readers what is kept of the directory; false when that is nothing, and the store is to be
// asked. Where the rest turns out to be damaged, the readers begin anew, and find out from the store.
func (t *Tree) replay(ctx context.Context, l *listing) bool {
	if t.keeping.shelf == nil {
		return false
	}
	began, given, failed := moment{}, false, error(nil)
	found, err := t.keeping.shelf.Load(l.dir, "", func(asked time.Time, stranger bool) bool {
		began = moment{at: asked, seq: firstMoment}
		return t.mayUse(ctx, l.dir, asked, stranger)
	}, func(data []byte) bool {
		records, from, ok := unpack(l.dir, data)
		if !ok {
			failed = errLost
			return false
		}
		if began.seq = firstMoment; from.process == t.keeping.process {
			began.seq = from.seq
		}
		if !given && !t.startReplay(l, began) {
			return false
		}
		if given { // the last block ends it, whether or not somebody wants more
			failed = t.awaitDemand(ctx, l)
		}
		if given = true; failed == nil && len(records) > 0 {
			t.mu.Lock()
			t.append(l, newBlock(records, began))
			t.mu.Unlock()
		}
		return failed == nil
	})
	if !found || !given {
		return false
	}
	if err != nil {
		failed = errLost
	}
	if errors.Is(failed, errLost) { // or those who begin anew would find the same
		t.doubt(l.dir)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finish(l, failed)
	return true
}

// startReplay has a listing be of another moment; false when what was asked for then is not believed any more.
func (t *Tree) startReplay(l *listing, began moment) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if began.seq <= t.memory.distrust {
		return false
	}
	l.began = began
	return true
}

// kept is what a kept listing says of a name; false where it does not say.
func (t *Tree) kept(ctx context.Context, a address) (answer, bool) {
	if t.keeping.shelf == nil {
		return answer{}, false
	}
	ans, readable := answer{asked: moment{seq: firstMoment}}, true
	found, err := t.keeping.shelf.Load(a.dir, a.name, func(asked time.Time, stranger bool) bool {
		ans.asked.at = asked
		return t.mayUse(metadata(ctx), a.dir, asked, stranger)
	}, func(data []byte) bool {
		records, from, ok := unpack(a.dir, data)
		if readable = ok; !ok {
			return false
		}
		if from.process == t.keeping.process {
			ans.asked.seq = from.seq
		}
		for i := range records {
			if r := &records[i]; r.name == a.name {
				ans.item, ans.found = r.item(ans.asked.at), true
			}
		}
		return !ans.found
	})
	if !found || err != nil || !readable {
		return answer{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.memory.valid(a, ans.asked) || !t.memory.young(ans.asked, ans.found) {
		return answer{}, false
	}
	t.memory.remember(a, ans)
	return ans, true
}

// saver keeps a listing while it passes by. A nil one keeps nothing.
type saver struct {
	dir  string
	from origin
	add  func(first, last string, block []byte) bool
	end  func(whole bool)
	any  bool
}

// save begins to keep a listing that the store is about to be asked for. A part of a component is no directory whose
// changes a shelf would see.
func (t *Tree) save(l *listing) *saver {
	if t.keeping.shelf == nil || partOf(l.dir) != "" {
		return nil
	}
	add, end := t.keeping.shelf.Save(l.dir)
	if add == nil {
		return nil
	}
	return &saver{dir: l.dir, from: origin{t.keeping.process, l.began.seq}, add: add, end: end}
}

// block keeps what a page has brought, if anything.
func (s *saver) block(b *block) {
	if s == nil || s.add == nil || b == nil {
		return
	}
	s.any = true
	if last := len(b.records) - 1; !s.add(b.records[b.sorted(0)].name, b.records[b.sorted(last)].name, pack(s.dir, b.records, s.from)) {
		s.add = nil
	}
}

// done ends it.
func (s *saver) done(whole bool) {
	if s == nil {
		return
	}
	if whole && !s.any { // so that it is known whose an empty one is
		whole = s.add("", "", pack(s.dir, nil, s.from))
	}
	s.end(whole && s.add != nil)
}

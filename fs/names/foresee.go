package names

import (
	"context"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxWalks is in how many directories walks are followed: as deep as trees are, for a few programs.
	maxWalks = 64
	// maxForeseen is how many listings may be ahead in all, each with a goroutine and, as long as it is under way, a
	// request.
	maxForeseen = 32
	// foreseenPart is the part of the names that are remembered that they may take, if each brings a page.
	foreseenPart = 4
	// pageNames is how many names a page of a listing has at most.
	pageNames = 1000
	// nextWithin is how far from the directory read last the next one may be, in directories: some are skipped.
	nextWithin = 4
)

// foresight lists directories ahead of those who walk through a tree. Tree.mu guards it.
//
// A listing ahead is of the moment at which it was asked for, like any other. Its first page is fetched, in the class
// of what nobody waits for yet. Whoever comes to read the directory takes it over; when nobody does within the time for
// which it is good, it is given up.
//
// INVARIANT: a listing is in ahead exactly as long as its directory is ahead in its walk, and there are at most most.
type foresight struct {
	ttl   time.Duration
	most  int
	walks *simplelru.LRU[string, *walker] // by the directory whose subdirectories are read
	ahead map[string]*foreseen            // by prefix
	total ForesightStats                  // of walks that are not followed any more
}

// walker is a walk and where it is.
type walker struct {
	*walk
	at   string // name of the directory read last
	deep bool   // directories below those that were read have been walked through as well
}

// foreseen is a listing ahead.
type foreseen struct {
	by      *walk
	listing *listing
	expiry  *time.Timer
}

// ForesightStats are totals, in listings.
type ForesightStats struct {
	Asked  int64 // directories listed ahead of their readers
	Used   int64 // of these, read while the answer was good
	Wasted int64 // of these, those that failed, or that nobody came to in time
}

// Plus is the sum.
func (s ForesightStats) Plus(o ForesightStats) ForesightStats {
	return ForesightStats{s.Asked + o.Asked, s.Used + o.Used, s.Wasted + o.Wasted}
}

func (w *walk) stats() ForesightStats { return ForesightStats{w.asked, w.used, w.wasted} }

func newForesight(cfg Config, store Store) *foresight {
	f := &foresight{ttl: cfg.TTL, most: min(maxForeseen, cfg.MaxCached/foreseenPart/pageNames), ahead: make(map[string]*foreseen)}
	if cfg.Immutable {
		f.ttl = -1
	}
	if _, local := store.(objstore.Indexed); local || f.ttl == 0 { // listed from memory, or asked for each time
		f.most = 0
	}
	f.walks, _ = simplelru.NewLRU(maxWalks, func(_ string, w *walker) { f.forget(w) }) // a size that is not positive is the only error
	return f
}

// Foresight is a snapshot.
func (t *Tree) Foresight() ForesightStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.foresight.total
	for _, w := range t.foresight.walks.Values() {
		s = s.Plus(w.stats())
	}
	return s
}

// walked notes that somebody begins to read a directory, and has the next ones be listed if that is likely to be worth
// it. The caller holds Tree.mu.
func (t *Tree) walked(dir string) {
	f := t.foresight
	a, ok := directoryAt(dir)
	if !ok || f.most == 0 {
		return
	}
	above, ok := t.memory.listings.Peek(a.dir)
	if !ok {
		return
	}
	now := t.memory.now()
	w, ok := f.walks.Get(a.dir)
	if !ok {
		w = &walker{walk: newWalk(f.ttl)}
		if up, ok := f.above(a.dir); ok && up.deep {
			w.run, w.last = walkStart-1, now
		}
		f.walks.Add(a.dir, w)
	}
	if w.at == a.name {
		return // the same once more
	}
	on := w.read(dir, w.at == "" || above.follows(w.at, a.name), now)
	if w.at = a.name; !on || w.run < walkStart {
		return
	}
	if up, ok := f.above(a.dir); ok {
		up.deep = true
	}
	n := min(w.want(), f.most-len(f.ahead))
	for _, r := range above.directoriesAfter(a.name, n+len(w.ahead)+nextWithin) {
		if n > 0 && t.memory.valid(address{a.dir, r.name}, above.began) && t.listAhead(r, a.dir, w.walk) {
			n--
		}
	}
}

// above is the walk that a directory is part of.
func (f *foresight) above(dir string) (*walker, bool) {
	a, ok := directoryAt(dir)
	if !ok {
		return nil, false
	}
	return f.walks.Peek(a.dir)
}

// listAhead begins to list a directory for nobody yet; false when that is not needed. The caller holds Tree.mu.
func (t *Tree) listAhead(r *record, parent string, by *walk) bool {
	f := t.foresight
	if _, young := t.memory.listing(r.key); young || f.ahead[r.key] != nil {
		return false
	}
	l := t.begin(r.key, objstore.ClassPrefetch)
	if l.done {
		return false // the tree is closed
	}
	l.at = &address{parent, r.name}
	by.ask(r.key, l.began.at)
	p := &foreseen{by: by, listing: l}
	p.expiry = time.AfterFunc(by.patience(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if f.ahead[r.key] == p {
			by.drop(r.key)
			f.release(p)
		}
	})
	f.ahead[r.key] = p
	return true
}

// awaitAhead waits for a directory's listing that is under way ahead, since it tells as well that there is such a
// directory; false when there is none, or it tells nothing.
func (t *Tree) awaitAhead(ctx context.Context, a address, target target) (answer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.foresight.ahead[target.key+"/"]
	if p == nil || target.form != either {
		return answer{}, false
	}
	l := p.listing
	l.readers++
	defer l.leave()
	l.ticket.Raise(objstore.ClassMetadata)
	for !l.done && l.dropped+len(l.blocks) == 0 && ctx.Err() == nil {
		changed := l.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		t.mu.Lock()
	}
	ans, ok := t.memory.lookup(a)
	return ans, ok && ans.found
}

// taken is called when somebody has begun to read a directory whose listing may be ahead. The caller holds Tree.mu.
func (f *foresight) taken(dir string, now time.Time) {
	if p := f.ahead[dir]; p != nil {
		p.by.use(dir, now)
		f.release(p)
	}
}

// release ends what keeps a listing ahead going, if nobody reads it.
func (f *foresight) release(p *foreseen) {
	delete(f.ahead, p.listing.dir)
	p.expiry.Stop()
	p.listing.leave()
}

// failed is called when a listing has failed. The caller holds Tree.mu.
func (f *foresight) failed(l *listing) {
	if p := f.ahead[l.dir]; p != nil && p.listing == l {
		p.by.fail(l.dir)
		f.release(p)
	}
}

// forget ends what was foreseen by a walk that is not followed any more. The caller holds Tree.mu.
func (f *foresight) forget(w *walker) {
	for dir := range w.ahead {
		w.drop(dir)
		f.release(f.ahead[dir])
	}
	f.total = f.total.Plus(w.stats())
}

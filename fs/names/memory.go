package names

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxForgotten is how many names are remembered as forgotten. It need only cover the names that change while a request
// is under way; beyond it everything asked before is distrusted, which costs requests but is never wrong.
const maxForgotten = 4096

// moment is when a request began: by the clock, which decides about age, and by number, which decides what came first.
//
// A moment before all of this tree's has the number firstMoment: what is kept of other processes' answers is of then.
type moment struct {
	at  time.Time
	seq uint64
}

// firstMoment is above what is distrusted at first.
const firstMoment = 1

// answer is what the store said of one name.
type answer struct {
	item  Item
	found bool
	asked moment
}

// memory holds what the store said, by listing and by single name. Both are bounded in names. It is guarded by Tree.mu.
//
// The library's expirable cache is not used on purpose: its cleaning goroutine cannot be stopped, it has a clock of its
// own, and it counts listings where names must be counted.
//
// INVARIANT: names is the sum of the weights of all listings, and at most limit.
// INVARIANT: a listing has kept set exactly while it is in listings, and then weighs at most half of limit.
type memory struct {
	ttl       time.Duration
	immutable bool
	now       func() time.Time
	limit     int // of names

	clock     uint64 // numbers the moments
	listings  *simplelru.LRU[string, *listing]
	names     int
	singles   *simplelru.LRU[address, answer]
	forgotten *simplelru.LRU[address, uint64] // what was asked of this name before this number is not to be believed
	distrust  uint64                          // the same for all names
}

func newMemory(cfg Config) memory {
	m := memory{ttl: cfg.TTL, immutable: cfg.Immutable, now: cfg.Now, limit: cfg.MaxCached, clock: firstMoment}
	// A size that is not positive is the only error, and there is none. Listings are bounded by their weight, never by
	// the library: so many do not fit.
	m.listings, _ = simplelru.NewLRU[string, *listing](cfg.MaxCached+1, nil)
	m.singles, _ = simplelru.NewLRU[address, answer](max(cfg.MaxCached/8, 1), nil)
	m.forgotten, _ = simplelru.NewLRU[address, uint64](maxForgotten, nil)
	return m
}

func (m *memory) stamp() moment {
	m.clock++
	return moment{at: m.now(), seq: m.clock}
}

// noLaterThan is m for an answer that was so at a time and may not be any more: its age counts from there. Zero says
// nothing.
func (m moment) noLaterThan(asOf time.Time) moment {
	if !asOf.IsZero() && asOf.Before(m.at) {
		m.at = asOf
	}
	return m
}

// young tells whether an answer asked at a moment may still be given.
func (m *memory) young(asked moment, found bool) bool {
	return found && m.immutable || m.now().Sub(asked.at) < m.ttl
}

// valid tells whether the name has not been forgotten since.
func (m *memory) valid(a address, asked moment) bool {
	if asked.seq <= m.distrust {
		return false
	}
	since, ok := m.forgotten.Get(a)
	return !ok || asked.seq > since
}

// lookup gives the latest answer about a name, if there is one that may be given.
func (m *memory) lookup(a address) (ans answer, ok bool) {
	if s, has := m.singles.Get(a); has && m.valid(a, s.asked) && m.young(s.asked, s.found) {
		ans, ok = s, true
	}
	l, has := m.listings.Get(a.dir)
	if !has {
		return ans, ok
	}
	fromList, has := l.lookup(a.name)
	if has && fromList.asked.seq > ans.asked.seq && m.valid(a, fromList.asked) && m.young(fromList.asked, fromList.found) {
		return fromList, true
	}
	return ans, ok
}

// remember keeps an answer about one name, also one that is too old on arrival to be given: what is recalled of a name
// is the last that was heard of it.
func (m *memory) remember(a address, ans answer) {
	if !m.valid(a, ans.asked) {
		return
	}
	if s, ok := m.singles.Peek(a); ok && s.asked.seq > ans.asked.seq {
		return
	}
	// Metadata may be 2 KiB a name, which a bound in names does not allow for. Without it, and without the content type
	// that every object has, the entry is as from a listing.
	ans.item.Entry.Metadata, ans.item.Entry.ContentType = nil, ""
	m.singles.Add(a, ans)
}

// forget makes sure that nothing asked so far is believed of a name.
func (m *memory) forget(a address) {
	m.singles.Remove(a)
	m.clock++
	if !m.forgotten.Contains(a) && m.forgotten.Len() == maxForgotten {
		_, oldest, _ := m.forgotten.RemoveOldest()
		m.distrust = max(m.distrust, oldest)
	}
	m.forgotten.Add(a, m.clock)
	if l, ok := m.listings.Peek(a.dir); ok {
		l.spoiled = true
	}
}

// listing gives the listing of a directory that a new reader may be served from, if there is one.
func (m *memory) listing(dir string) (*listing, bool) {
	l, ok := m.listings.Get(dir)
	if !ok || !l.whole() || l.spoiled || l.began.seq <= m.distrust || !m.young(l.began, true) {
		return nil, false
	}
	return l, true
}

// keep remembers a new listing instead of what there was of its directory.
func (m *memory) keep(l *listing) {
	if old, ok := m.listings.Peek(l.dir); ok {
		m.drop(old)
	}
	m.listings.Add(l.dir, l)
	l.kept = true
	m.names += l.weight()
	m.shrink()
}

// grown is called when a listing weighs more than it did. It forgets the oldest part of a listing that is too long, and
// then whole listings.
func (m *memory) grown(l *listing, by int) {
	if !l.kept {
		l.trim(func() bool { return len(l.blocks) > looseBlocks })
		return
	}
	m.listings.Get(l.dir) // it is in use
	m.names += by
	m.names -= l.trim(func() bool { return len(l.blocks) > 1 && l.weight() > m.limit/2 })
	if l.weight() > m.limit/2 {
		m.drop(l)
	}
	m.shrink()
}

// shrink removes the listings used longest ago while there are too many names. Age alone removes nothing: what is too
// old to be given as an answer is still worth recalling.
func (m *memory) shrink() {
	for m.names > m.limit {
		_, l, _ := m.listings.GetOldest()
		m.drop(l)
	}
}

func (m *memory) drop(l *listing) {
	m.listings.Remove(l.dir)
	m.names -= l.weight()
	l.kept = false
}

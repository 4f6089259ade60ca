package names

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/headrace/headrace/objstore"
)

const (
	// burst is how many names of a directory are asked for one by one, and found missing, within the time for which
	// answers are good, before the directory is listed instead. Each costs two requests.
	burst = 4
	// surveyed is how many names a listing may have that takes the place of single questions: those of four pages, which
	// are asked for one after another.
	surveyed = 4000
	// surveyShare is the part of the time for which answers are good that such a listing may take, or little of that would
	// be left.
	surveyShare = 4
	// largeFor is for how long a directory counts as too large for that.
	largeFor = time.Minute
	// maxBursts bounds the directories of which bursts are known.
	maxBursts = 1024
)

// bursts notices programs that make many files in a directory: of each name they ask first whether it is there. It is a
// value: no lock.
type bursts struct {
	ttl time.Duration
	of  *simplelru.LRU[string, *missed]
}

type missed struct {
	since time.Time // the first of the names
	names int
	large time.Time // until then, the directory is known to have too many names
}

func newBursts(ttl time.Duration) bursts {
	of, _ := simplelru.NewLRU[string, *missed](maxBursts, nil) // a size that is not positive is the only error
	return bursts{ttl: ttl, of: of}
}

// missing notes that a name was asked for, and is not there.
func (b *bursts) missing(dir string, now time.Time) {
	m, ok := b.of.Get(dir)
	if !ok {
		m = &missed{}
		b.of.Add(dir, m)
	}
	if now.Sub(m.since) >= b.ttl {
		m.since, m.names = now, 0
	}
	m.names++
}

// wantListing tells whether the next name is better asked for by listing the directory.
func (b *bursts) wantListing(dir string, now time.Time) bool {
	m, ok := b.of.Get(dir)
	return ok && m.names >= burst && now.Sub(m.since) < b.ttl && !now.Before(m.large)
}

// tooLarge notes that a listing was too long, or took too long.
func (b *bursts) tooLarge(dir string, now time.Time) {
	if m, ok := b.of.Get(dir); ok {
		m.large = now.Add(largeFor)
	}
}

// survey lists the directory of a name in a burst, with whoever else does, and tells what that says of the name; false
// where it does not say.
func (t *Tree) survey(ctx context.Context, a address) (answer, bool) {
	if _, local := t.store.(objstore.Indexed); local { // which is as old as its index
		return answer{}, false
	}
	t.mu.Lock()
	began := t.memory.now()
	wanted := t.bursts.wantListing(a.dir, began)
	t.mu.Unlock()
	if !wanted {
		return answer{}, false
	}
	s := &Stream{tree: t, dir: a.dir}
	defer s.Close()
	err := error(nil)
	for n := 0; n <= surveyed && err == nil; n++ {
		_, err = s.stored(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slow := t.memory.now().Sub(began) >= t.bursts.ttl/surveyShare
	if slow { // this one says what it says
		t.bursts.tooLarge(a.dir, t.memory.now())
	}
	switch {
	case err == nil:
		t.bursts.tooLarge(a.dir, t.memory.now())
		return answer{}, false
	case !errors.Is(err, io.EOF):
		return answer{}, false
	}
	return t.memory.lookup(a)
}

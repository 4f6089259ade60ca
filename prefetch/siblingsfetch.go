package prefetch

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxSibling is the size in bytes of the largest file that is brought ahead of its opening: larger ones keep the network busy by themselves.
	maxSibling = 4 << 20
	// siblingsAtOnce bounds the GETs under way, each with a goroutine. The gate's limit is 300 at most, and others want some of it.
	siblingsAtOnce = 128
	// siblingsBatch is how many names are taken from a listing at a time.
	siblingsBatch = 64
	// maxDirectories is in how many directories openings are followed: a reader of each of many classes. The least recent is dropped.
	maxDirectories = 16
)

// Spare is where small files are brought ahead of their opening: the cache's free memory.
type Spare interface {
	// FetchSpare brings all of v, by one GET for that version and no other, and waits until it is here. It evicts nothing for it. asked is false when the
	// store was not asked, because v is here or coming already or, then full is true, because nothing is free. The class of the GET is that of ctx's
	// [objstore.Ticket], and rises with it. ctx ends the waiting and what nobody else wants.
	FetchSpare(ctx context.Context, v objstore.Version) (asked, full bool, err error)
}

// Upcoming walks through the files of a directory that may be opened next.
type Upcoming interface {
	// Next gives the next n at most; none at the end. It must not ask the store, nor call [Siblings].
	Next(n int) []objstore.Version
}

// SiblingsConfig says what there is to work with.
type SiblingsConfig struct {
	Source Spare            // required
	TTL    time.Duration    // how long an answer of the store is believed; negative for ever
	Now    func() time.Time // required
}

// Siblings brings the files of a directory that will be opened next, once several of it have been. A nil one does nothing.
type Siblings struct {
	source Spare
	ttl    time.Duration
	now    func() time.Time
	seed   maphash.Seed

	life    context.Context
	end     context.CancelFunc
	workers sync.WaitGroup // added to under mu while closed is false

	mu      sync.Mutex // guards what is below; Upcoming is called within it
	closed  bool
	swept   time.Time
	dirs    map[any]*openedDirectory
	running int           // workers
	gone    SiblingsStats // of directories that were dropped
}

// openedDirectory is one directory whose openings are followed. Siblings.mu guards it.
type openedDirectory struct {
	*siblings
	life     context.Context
	cancel   context.CancelFunc
	upcoming Upcoming // nil until it is needed
	queue    []objstore.Version
	done     bool // all were walked through
	full     bool // there was no room when it was last tried
	running  int
	pending  map[fileID]*coming // under way
}

// coming is a file under way.
type coming struct {
	ticket *objstore.Ticket
	over   chan struct{} // closed when it is over, after err is set
	err    error         // the store's, where it was asked
}

// NewSiblings makes it. The caller closes it.
func NewSiblings(cfg SiblingsConfig) *Siblings {
	s := &Siblings{source: cfg.Source, ttl: cfg.TTL, now: cfg.Now, seed: maphash.MakeSeed(), dirs: make(map[any]*openedDirectory)}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Close ends what is under way and waits for it.
func (s *Siblings) Close() {
	if s == nil {
		return
	}
	s.end()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.workers.Wait()
}

// Confirmed tells when the store was asked for a file that was brought ahead and has not been opened since. It had this version then. ok is false when it was not
// asked. One that is still under way is waited for, as what somebody demands from then on; errors are the store's and ctx's, as they are for who joins any fetch.
func (s *Siblings) Confirmed(ctx context.Context, dir any, v objstore.Version) (asked time.Time, ok bool, err error) {
	id := s.id(v)
	s.mu.Lock()
	d := s.dirs[dir]
	if d == nil {
		s.mu.Unlock()
		return asked, false, nil
	}
	c := d.pending[id]
	s.mu.Unlock()
	if c != nil {
		c.ticket.Raise(objstore.ClassDemand)
		select {
		case <-c.over:
		case <-ctx.Done():
			return asked, false, ctx.Err()
		}
		if c.err != nil {
			return asked, false, c.err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.pending[id] != nil {
		return asked, false, nil
	}
	asked, ok = d.ahead[id]
	return asked, ok, nil
}

// Opened notes that a file of a directory was opened, and may begin to bring others. fetched says that its bytes were not here. upcoming is called when the walk
// through the directory begins, and is nil when nothing is known of it.
func (s *Siblings) Opened(dir any, v objstore.Version, fetched bool, upcoming func() Upcoming) {
	if s == nil || v.Size == 0 || v.Size > maxSibling {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.sweep(now)
	d := s.dirs[dir]
	if d == nil {
		d = &openedDirectory{siblings: newSiblings(s.ttl), pending: make(map[fileID]*coming)}
		d.life, d.cancel = context.WithCancel(s.life)
		s.dirs[dir] = d
	}
	d.open(s.id(v), fetched, now)
	more := d.want(now)
	if more == 0 || d.done {
		return
	}
	if d.upcoming == nil {
		if d.upcoming = upcoming(); d.upcoming == nil {
			return
		}
	}
	if d.full { // one finds out whether that is still so
		more = 1 - d.running
	}
	for range min(more-d.running, siblingsAtOnce-s.running) {
		d.running++
		s.running++
		s.workers.Go(func() { s.work(d) })
	}
}

// work brings files one after another while more are wanted and there is room.
func (s *Siblings) work(d *openedDirectory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for full := false; !full; {
		v, id, ok := s.next(d)
		if !ok {
			break
		}
		c := &coming{ticket: objstore.NewTicket(objstore.ClassPrefetch), over: make(chan struct{})}
		d.pending[id] = c
		s.mu.Unlock()
		asked, noRoom, err := s.source.FetchSpare(objstore.WithTicket(d.life, c.ticket), v)
		s.mu.Lock()
		delete(d.pending, id)
		if d.life.Err() == nil { // else it was given up, which is nothing the store has said
			c.err = err
		}
		close(c.over)
		full, d.full = noRoom, noRoom
		switch {
		case full:
			d.unasked(id, true)
			d.queue = slices.Insert(d.queue, 0, v) // a reader in order comes to it first
			d.done = false
		case !asked:
			d.unasked(id, false)
		case err != nil:
			d.drop(id)
		}
	}
	d.running--
	s.running--
}

// next is the file to bring now. The caller holds mu.
func (s *Siblings) next(d *openedDirectory) (v objstore.Version, id fileID, ok bool) {
	now := s.now()
	if s.closed || d.want(now) == 0 {
		return v, 0, false
	}
	for {
		if len(d.queue) == 0 && !d.done {
			d.queue = d.upcoming.Next(siblingsBatch)
		}
		if d.done = len(d.queue) == 0; d.done {
			return v, 0, false
		}
		v, d.queue = d.queue[0], d.queue[1:]
		if id = s.id(v); v.Size > 0 && v.Size <= maxSibling && d.ask(id, now) {
			return v, id, true
		}
	}
}

// sweep drops the directories that nobody opens files of any more, at most once in sweepEvery, and the least recent of too many. The caller holds mu.
func (s *Siblings) sweep(now time.Time) {
	if len(s.dirs) < maxDirectories && now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	var oldest any
	for dir, d := range s.dirs {
		if d.idle(now.Add(-idleAfter)) {
			s.forget(dir)
		} else if oldest == nil || d.last.Before(s.dirs[oldest].last) {
			oldest = dir
		}
	}
	if len(s.dirs) > maxDirectories {
		s.forget(oldest)
	}
}

func (s *Siblings) forget(dir any) {
	d := s.dirs[dir]
	d.cancel()
	d.end()
	s.gone.add(d.siblings)
	delete(s.dirs, dir)
}

func (s *Siblings) id(v objstore.Version) fileID { return fileID(maphash.Comparable(s.seed, v)) }

// SiblingsStats are totals, in files.
type SiblingsStats struct {
	Asked  int64 // brought ahead of their opening
	Used   int64 // of these, opened afterwards
	Wasted int64 // of these, never to be opened as far as is known
}

func (t *SiblingsStats) add(d *siblings) {
	t.Asked, t.Used, t.Wasted = t.Asked+d.asked, t.Used+d.used, t.Wasted+d.wasted
}

// Stats is a snapshot.
func (s *Siblings) Stats() SiblingsStats {
	if s == nil {
		return SiblingsStats{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.gone
	for _, d := range s.dirs {
		t.add(d.siblings)
	}
	return t
}

package prefetch

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxSibling is the size in bytes of the largest file that is brought ahead of its opening: larger ones keep the
	// network busy by themselves.
	maxSibling = 4 << 20
	// siblingsAtOnce bounds the GETs under way, each with a goroutine. The gate's limit is 300 at most, and others want
	// some of it.
	siblingsAtOnce = 128
	// siblingsBatch is how many names are taken from a listing at a time.
	siblingsBatch = 64
	// maxDirectories is in how many directories openings are followed: a reader of each of many classes. Each may have
	// maxSeen and maxSiblings names remembered.
	maxDirectories = 16
)

// Spare is where small files are brought ahead of their opening: the cache's free memory.
type Spare interface {
	// FetchSpare brings all of v, by one GET for that version and no other, and waits until it is here. It evicts nothing
	// for it. asked is false when the store was not asked, because v is here or coming already or, then full is true,
	// because nothing is free. The class of the GET is that of ctx's [objstore.Ticket], and rises with it. ctx ends the
	// waiting and what nobody else wants.
	FetchSpare(ctx context.Context, v objstore.Version) (asked, full bool, err error)
}

// Upcoming walks through the files of a directory that may be opened next.
type Upcoming interface {
	// Next gives the next n at most. more is false at the end, and only there; without it there may be none all the same,
	// since it must not look through a long directory at a time: others wait meanwhile. It must not ask the store, nor
	// call [Siblings].
	Next(n int) (next []objstore.Version, more bool)
}

// SiblingsConfig says what there is to work with.
type SiblingsConfig struct {
	Source Spare            // required
	TTL    time.Duration    // how long an answer of the store is believed; negative for ever
	Now    func() time.Time // required
}

// Siblings brings the files of a directory that will be opened next, once several of it have been. A nil one does
// nothing.
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
	working int           // workers
	gone    SiblingsStats // of directories that were dropped
}

// openedDirectory is one directory whose openings are followed. Siblings.mu guards it.
type openedDirectory struct {
	*siblings
	life     context.Context
	cancel   context.CancelFunc
	upcoming Upcoming // nil until it is needed
	walked   int      // the pass that upcoming is for
	queue    []objstore.Version
	done     bool               // all were walked through
	full     bool               // there was no room when it was last tried
	retry    bool               // it is to be tried once more
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

// Confirmed tells when the store was asked for a file that was brought ahead and has not been opened since. It had this
// version then. ok is false when it was not asked. One that is still under way is waited for, as what somebody demands
// from then on; errors are the store's and ctx's, as they are for who joins any fetch.
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

// Lost notes that the opening of a file failed because its bytes were not here and did not come. One that was ahead
// will not be used.
func (s *Siblings) Lost(dir any, v objstore.Version) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.dirs[dir]; d != nil {
		d.drop(s.id(v))
	}
}

// Opened notes that a file of a directory was opened, and may begin to bring others. fetched says that its bytes were
// not here. upcoming is called when a walk through the directory begins, and is nil when nothing is known of it.
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
	d := s.follow(dir, now)
	if d == nil {
		return
	}
	d.open(s.id(v), fetched, now)
	if d.pass != d.walked {
		d.walked, d.upcoming, d.queue, d.done = d.pass, nil, nil, false
	}
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
		more, d.retry = 1, len(d.pending) == 0
	}
	for range min(more-len(d.pending), siblingsAtOnce-s.working) {
		s.working++
		s.workers.Go(s.work)
	}
}

// follow is the directory with its openings, made if need be; nil when others have all the room. They keep it while
// they are in use: were the least recent dropped for each new one, a reader that goes from one to another of very many
// would have nothing ahead in any, and what was fetched would be for nothing.
func (s *Siblings) follow(dir any, now time.Time) *openedDirectory {
	d := s.dirs[dir]
	if d != nil || len(s.dirs) >= maxDirectories && !s.replace(now) {
		return d
	}
	d = &openedDirectory{siblings: newSiblings(s.ttl, len(s.dirs)+1), pending: make(map[fileID]*coming)}
	d.life, d.cancel = context.WithCancel(s.life)
	s.dirs[dir] = d
	return d
}

// replace drops the directory that was in use least recently, unless it may be in use still. The caller holds mu.
func (s *Siblings) replace(now time.Time) bool {
	var oldest any
	for dir, d := range s.dirs {
		if oldest == nil || d.last.Before(s.dirs[oldest].last) {
			oldest = dir
		}
	}
	if !s.dirs[oldest].idle(now.Add(-siblingsPause)) {
		return false
	}
	s.forget(oldest)
	return true
}

// sweep drops the directories that nobody opens files of any more, at most once in sweepEvery. The caller holds mu.
func (s *Siblings) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for dir, d := range s.dirs {
		if d.idle(now.Add(-idleAfter)) {
			s.forget(dir)
		}
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

package prefetch

import (
	"slices"
	"time"
)

const (
	// siblingsStart is how many different files of a directory must have been opened before others of it are asked for:
	// more than `head`, `diff` and most commands touch.
	siblingsStart = 4
	// siblingsAhead is how many files may be ahead for each one opened, as with a lane's window: so what is fetched for
	// nothing is bounded by what was read.
	siblingsAhead = 4
	// maxSiblings bounds the files ahead in one directory, and with it what is remembered of them: about 1 MB.
	maxSiblings = 4096
	// unusedOpens is after how many opens in a row of files that were not ahead nobody is expected to come to those that
	// are. A shuffled reader of a directory of 10,000 meets three of them on average meanwhile.
	unusedOpens = 128
	// trustPerSecond is how many files may be ahead, before any was opened in time, for each second that an answer of the
	// store is believed. A file that is opened later costs a HEAD besides its GET, and a shuffled reader opens most of
	// them later: with 400 ahead and a second, 2,000 files took 800 HEADs and twice the time.
	trustPerSecond = 32
	// leastLimit is how far down openings that came too late bring the number of files ahead.
	leastLimit = 8
	// siblingsPause is how long after the last opening more is asked for.
	siblingsPause = 2 * time.Second
	// maxSeen bounds what is remembered of a directory as opened or asked for, so that no file is asked for twice. Beyond
	// it, it is forgotten as a whole.
	maxSeen = 1 << 15
)

// fileID stands for one version of one file.
type fileID uint64

// siblings is the state machine of one directory: openings in, how many files to ask for out. It does no I/O and knows
// no clock but the times it is given; which files come next in the directory is not its business.
//
// INVARIANT: len(ahead) <= maxSiblings, and every file ahead has been seen.
// INVARIANT: what was asked for is ahead, used or wasted.
// INVARIANT: len(again) < siblingsStart.
type siblings struct {
	ttl time.Duration // for how long an answer of the store is believed; negative for ever

	opens   int // of different files
	misses  int // in a row, of files that were not ahead
	limit   int // of files ahead
	stopped bool
	last    time.Time            // of the last opening
	seen    map[fileID]struct{}  // in this pass
	ahead   map[fileID]time.Time // when the store was asked
	again   []fileID             // opened once more in this pass, and fetched again; fewer than siblingsStart
	pass    int                  // over the directory, from 0 on

	asked, used, wasted int64 // in all
}

// newSiblings begins to follow a directory, one among so many: readers who are in many of them come to the files of
// each less often.
func newSiblings(ttl time.Duration, among int) *siblings {
	limit := maxSiblings
	if ttl >= 0 {
		limit = int(min(max(ttl.Seconds()*trustPerSecond/float64(among), leastLimit), maxSiblings))
	}
	return &siblings{ttl: ttl, limit: limit, seen: make(map[fileID]struct{}), ahead: make(map[fileID]time.Time)}
}

// open notes that a file was opened. lost says that its bytes had to be fetched all the same.
func (s *siblings) open(id fileID, lost bool, now time.Time) {
	s.last = now
	asked, foreseen := s.ahead[id]
	if _, again := s.seen[id]; again && !foreseen {
		if lost {
			s.reopen(id)
		}
		return
	}
	s.see(id)
	s.opens++
	switch {
	case foreseen && !lost:
		s.misses = 0
		s.use(id, asked, now)
		return
	case foreseen:
		s.drop(id)
	}
	if len(s.ahead) == 0 {
		s.misses = 0
	} else if s.misses++; s.misses >= unusedOpens {
		s.stopped = true
	}
}

// reopen notes that a file was opened once more, and had to be fetched again. Several such are the beginning of another
// pass over the directory, in which the files that are not here any more are worth asking for again. What may be ahead
// stays bounded by all that was ever opened.
func (s *siblings) reopen(id fileID) {
	if slices.Contains(s.again, id) {
		return
	}
	s.opens++
	if s.again = append(s.again, id); len(s.again) < siblingsStart {
		return
	}
	s.forgetSeen()
	for _, id := range s.again {
		s.seen[id] = struct{}{}
	}
	s.again = s.again[:0]
	s.pass++
}

// use is the opening of a file that was ahead. One that comes when the store's answer is too old has to ask once more:
// then fewer should be ahead.
func (s *siblings) use(id fileID, asked, now time.Time) {
	s.used++
	late := s.ttl >= 0 && now.Sub(asked) >= s.ttl
	if late {
		s.limit = max(min(s.limit, len(s.ahead))*3/4, leastLimit)
	} else {
		s.limit = min(s.limit+1, maxSiblings)
	}
	delete(s.ahead, id)
}

// want is how many more files should be asked for now. What was wasted counts as if it were still ahead.
func (s *siblings) want(now time.Time) int {
	if s.stopped || s.opens < siblingsStart || now.Sub(s.last) > siblingsPause {
		return 0
	}
	return max(min(siblingsAhead*s.opens-int(s.wasted), s.limit)-len(s.ahead), 0)
}

// ask notes that a file is to be asked for; false when it need not be.
func (s *siblings) ask(id fileID, now time.Time) bool {
	if _, known := s.seen[id]; known {
		return false
	}
	s.see(id)
	s.ahead[id] = now
	s.asked++
	return true
}

// unasked takes an ask back, since the store was not asked: the file was there, or, when it may be asked for again,
// there was no room.
func (s *siblings) unasked(id fileID, again bool) {
	if _, ok := s.ahead[id]; ok {
		delete(s.ahead, id)
		s.asked--
	}
	if again {
		delete(s.seen, id)
	}
}

// drop notes that a file that was asked for will not be used: it did not come, or it is gone.
func (s *siblings) drop(id fileID) {
	if _, ok := s.ahead[id]; ok {
		delete(s.ahead, id)
		s.wasted++
	}
}

// idle tells whether nobody has opened files since a time; then all that is ahead is wasted.
func (s *siblings) idle(before time.Time) bool { return s.last.Before(before) }

// end gives up what is ahead.
func (s *siblings) end() {
	s.wasted += int64(len(s.ahead))
	clear(s.ahead)
	s.stopped = true
}

func (s *siblings) see(id fileID) {
	if len(s.seen) >= maxSeen {
		s.forgetSeen()
	}
	s.seen[id] = struct{}{}
}

// forgetSeen forgets what was opened. What is ahead is not to be asked for again.
func (s *siblings) forgetSeen() {
	clear(s.seen)
	for id := range s.ahead {
		s.seen[id] = struct{}{}
	}
}

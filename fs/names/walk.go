package names

import "time"

const (
	// walkStart is how many directories of one parent must have been read one after another before the next ones are
	// listed ahead: more than somebody reads who looks into one.
	walkStart = 2
	// walkAhead is how many may be listed ahead for each that was read after the first, so that what is listed for nothing
	// is bounded by what was read.
	walkAhead = 4
	// walkMost is how many listings may be ahead in one directory: a program that does nothing but walk reads one in 1 to
	// 2 ms, and a store answers in 20.
	walkMost = 16
	// walkStrays is after how many directories in a row that were not foreseen it is no walk any more. Programs that walk
	// with several threads read a little out of order.
	walkStrays = 4
	// walkPause is the longest time between two directories of a walk.
	walkPause = 10 * time.Second
	// walkReserve is the part of the time for which a listing may be ahead that one may be expected to wait for its
	// reader.
	walkReserve = 2
)

// walk is the state machine of one directory whose subdirectories are read one after another: which was read goes in,
// how many to list ahead comes out. It asks nothing and knows no clock but the times it is given; which subdirectories
// come next is not its business.
//
// INVARIANT: len(ahead) <= walkMost.
// INVARIANT: what was asked for is ahead, used or wasted.
type walk struct {
	ttl time.Duration // for how long an answer is good; negative for ever

	run    int // directories read one after another
	strays int // in a row, of those that were not foreseen
	last   time.Time
	gap    time.Duration // between two of them, on average over the last few

	ahead map[string]time.Time // by prefix, when they were asked for

	asked, used, wasted int64 // in all
}

func newWalk(ttl time.Duration) *walk { return &walk{ttl: ttl, ahead: make(map[string]time.Time)} }

// read notes that a directory is read, and tells whether that is a step of the walk. follows tells that it is one of
// the next after the one read before.
func (w *walk) read(dir string, follows bool, now time.Time) (step bool) {
	w.time(now)
	if !w.use(dir, now) && !follows {
		if w.strays++; w.strays < walkStrays && w.run > 0 {
			return false
		}
		w.run = 0
	}
	w.strays = 0
	w.run++
	return true
}

// use notes that somebody has come to a directory; false when it was not ahead.
func (w *walk) use(dir string, now time.Time) (ahead bool) {
	asked, ahead := w.ahead[dir]
	if !ahead {
		return false
	}
	delete(w.ahead, dir)
	if w.ttl < 0 || now.Sub(asked) < w.ttl {
		w.used++
	} else {
		w.wasted++
	}
	return true
}

// time takes the average of the times between reads; too long a time ends the walk.
func (w *walk) time(now time.Time) {
	gap := now.Sub(w.last)
	switch {
	case w.run == 0:
		gap = 0
	case gap >= w.patience():
		w.run, w.gap = 0, 0
	case w.run == 1:
		w.gap = gap
	default:
		w.gap = (3*w.gap + gap) / 4
	}
	w.last = now
}

// patience is for how long a listing may be ahead.
func (w *walk) patience() time.Duration {
	if w.ttl < 0 {
		return walkPause
	}
	return min(w.ttl, walkPause)
}

// want is how many more directories should be listed now: as many as will be come to while they may be ahead.
func (w *walk) want() int {
	if w.run < walkStart {
		return 0
	}
	most := walkMost
	if w.gap > 0 {
		most = int(min(w.patience()/walkReserve/w.gap, walkMost))
	}
	return max(min(walkAhead*(w.run-1), most)-len(w.ahead), 0)
}

// ask notes that a directory is listed ahead.
func (w *walk) ask(dir string, now time.Time) {
	w.ahead[dir] = now
	w.asked++
}

// drop notes that a listing ahead is of no use: it failed, or nobody has come to it.
func (w *walk) drop(dir string) {
	if _, ok := w.ahead[dir]; ok {
		delete(w.ahead, dir)
		w.wasted++
	}
}

// fail notes that a listing ahead failed: no more are asked for until as many have been read one after another as at
// first.
func (w *walk) fail(dir string) {
	w.drop(dir)
	w.run = 0
}

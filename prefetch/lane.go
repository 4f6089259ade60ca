package prefetch

import (
	"math"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// nearJump is how far off a read of any size may be from where the lane is and still belong to it: a tar reader skips
	// bodies of so much and reads on. 32 lanes of it are 2 percent of a file of 2 GiB, so random reads seldom match by
	// chance.
	nearJump = 1 << 20

	// reorder is the same in units of the read's own size: kernel readahead has up to four requests under way, which
	// arrive in any order.
	reorder = 4

	// farJump bounds both.
	farJump = 4 << 20

	// enoughRun is how far a lane has to be read on before it counts as sequential: further than the kernel reads around
	// one page fault, which comes as up to four adjacent requests of 1 MiB.
	enoughRun = 5 << 20

	// windowPerRun is how many bytes ahead a lane gets for each byte that was read in it. With 4 and 80 MiB/s a
	// connection, a reader has 16 requests under way after its first 64 MiB, and one that stops after 4 MiB has wasted 28.
	windowPerRun = 4
)

// lane is one stream of reads inside a file.
//
// INVARIANT: 0 <= start <= pos <= size of the file.
// INVARIANT: asked <= size of the file.
// INVARIANT: reading >= 0, and tick is not above the window's.
type lane struct {
	id         int64     // also names the lane's prediction
	start      int64     // the least offset read
	pos        int64     // the end of the furthest read
	run        int64     // bytes read, with those read twice
	unit       int64     // what was last asked for at a time
	asked      int64     // from pos up to here everything was asked for; means something in sequential lanes only
	limit      int64     // bytes ahead which the source's short answers leave
	climb      climb     // how far ahead it is worth asking
	quick      int64     // its part of quickWindows, when it was last read
	refused    int64     // where the reader's unit ended at the last short answer: nothing is asked ahead until it is past that
	sequential bool      // proven: gets chunks and a window
	small      bool      // began while the file was read at random: gets blocks until it is sequential
	reading    int       // reads under way
	tick       int64     // the window's when it was last read
	last       time.Time // when it was last read; zero while it rests, with its predictions ended
}

// newLane starts a lane before its first read.
func newLane(id, off int64) lane {
	return lane{id: id, start: off, pos: off, limit: math.MaxInt64, climb: newClimb()}
}

// reach is how far from its position a read of n bytes still belongs to a lane.
func reach(n int64) int64 { return min(max(nearJump, reorder*n), farJump) }

// distance is how far off is from where the lane is.
func (l *lane) distance(off int64) int64 {
	if off >= l.pos {
		return off - l.pos
	}
	return l.pos - off
}

// note takes a read of r into account.
func (l *lane) note(r objstore.Range, first bool) {
	advances := r.End() > l.pos
	l.run += r.Len
	l.start = min(l.start, r.Off)
	l.pos = max(l.pos, r.End())
	if l.sequential || first || !advances {
		return
	}
	if l.small {
		l.sequential = l.pos-l.start >= max(enoughRun, reorder*r.Len)
		return
	}
	l.sequential = l.pos-l.start >= enoughRun
}

// seen is how many bytes of the lane were read, each counted once as far as that can be known.
func (l *lane) seen() int64 { return min(l.run, l.pos-l.start) }

// abandoned tells whether somebody read there, and as far as can be told has gone elsewhere without reading on.
func (l *lane) abandoned() bool {
	return l.reading == 0 && (!l.sequential || l.seen() < enoughRun)
}

// resting tells whether the lane's predictions were ended because nobody read there.
func (l *lane) resting() bool { return l.last.IsZero() }

// lead is how many bytes before those somebody waits for are fetched with them. In a sequential lane they are what
// readahead let be overtaken: somebody waits for them as well.
func (l *lane) lead() int64 {
	if l.sequential {
		return farJump
	}
	return cheapLead
}

// window is how many bytes ahead of the unit it is in the lane may have asked for: whole units.
func (l *lane) window(share, unit int64) int64 {
	if l.seen() < BlockSize {
		return 0
	}
	w := min(windowPerRun*l.seen(), share-unit, l.limit, l.climb.wanted)
	return max(down(w, unit), unit)
}

// short notes that the source took only what ends at offset end. The next attempt is when the reader comes into its
// next unit: by then so much was read and can make room, and what is asked for is not broken up into crumbs.
func (l *lane) short(end, here int64) {
	l.asked, l.refused = end, here
	l.limit = max(end-l.pos, 0)
}

// grow lets the window grow again after short answers: by as much as was read.
func (l *lane) grow(n int64) {
	if l.limit < maxWindow {
		l.limit += n
	}
}

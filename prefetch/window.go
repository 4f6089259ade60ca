package prefetch

import (
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// maxLanes is how many streams of one file are told apart: more than the loader workers that share a descriptor.
	maxLanes = 32

	// abandonedLanes say that a file is read at random. A reader that skips around in headers leaves two or three.
	abandonedLanes = 4

	// wholeChunks is up to how many chunks a file is fetched whole.
	wholeChunks = 2

	// cheapLead is how many bytes before the wanted ones are fetched with them rather than by a request of their own: at
	// 80 MiB/s they take 1.6 ms, and no more CPU than the request would.
	cheapLead = 128 << 10

	// readaheadStart is the least size of a read that is taken for a part of kernel readahead when it is the first of the
	// file, and not quite at offset 0: the others have been overtaken.
	readaheadStart = 128 << 10

	// chanceOfTouch is which part of a large file's chunks is remembered as touched: a read at random then meets one of
	// them once in so many times, and a chunk that is touched again mostly is not by chance.
	chanceOfTouch = 16
	// maxTouches bounds what is remembered, for files of any size.
	maxTouches = 1024

	// fileLife is the prediction that lasts until the file is closed.
	fileLife = int64(0)
)

// window is the state machine of one file: reads in, asks out. It does no I/O and knows no clock but the times it is
// given. The asks of a read are in asks afterwards, in the order in which they should be made; predictions that are
// over are in ended. Who acts on them empties both.
//
// INVARIANT: at most maxLanes lanes, with different ids.
// INVARIANT: every ask is within one chunk and not empty; every range of a demand ask is of whole blocks.
type window struct {
	grid   grid
	budget int64
	fits   bool // the file is counted on to be wholly in memory one day

	lanes   []lane
	touches touches
	pace    pace
	nextID  int64 // for lanes and generations
	tick    int64 // reads so far

	// The fills of random reads outlive the lanes they were made for, since those change with each read. Their predictions
	// are two generations of at most perGeneration bytes.
	generation, previous int64
	generationBytes      int64
	lastRandom           time.Time

	fetched int64 // bytes newly asked from the store
	asks    []ask
	ended   []int64
	tally   tally
}

// tally counts since the one who acts last looked.
type tally struct{ sequential, random, completed, dropped int64 }

func newWindow(size, budget int64) *window {
	w := &window{grid: grid(size), budget: budget, nextID: 1, generation: fileLife, previous: fileLife}
	w.touches = newTouches(int(min(w.grid.chunks()/(2*chanceOfTouch), maxTouches)))
	return w
}

// setFits says that the file is, or is not any more, counted on to end up in memory. When it is, all its chunks are
// remembered.
func (w *window) setFits(fits bool) {
	w.fits = fits
	if fits {
		w.touches.limit = int(min(w.grid.chunks(), maxTouches))
	}
}

// read takes the read of r, which is within the file and not empty, into account and returns the id of its lane, for
// done. part is what the lane may use.
func (w *window) read(r objstore.Range, part allotment, now time.Time) (id int64) {
	w.tick++
	l, first := w.find(r), false
	if l == nil {
		l, first = w.begin(r), true
	}
	l.reading++
	l.tick, l.last, l.quick = w.tick, now, part.quick
	l.note(r, first)
	unit := unitOf(part.budget)
	l.unit = unit
	switch {
	case w.whole():
		w.demand(l.id, r, w.grid.cover(r.Off, r.End(), unit), l.lead())
	case l.sequential:
		w.tally.sequential++
		l.grow(r.Len)
		w.demand(l.id, r, w.stretch(l, r, unit), l.lead())
		for i := range w.asks {
			w.asks[i].foreseen = w.asks[i].End() <= l.asked
		}
		w.ahead(l, part.budget, unit)
	case l.small:
		w.tally.random++
		w.lastRandom = now
		w.turnGeneration()
		w.demand(w.generation, r, w.grid.cover(r.Off, r.End(), BlockSize), l.lead())
		w.touched(l, r, w.generation)
	default:
		w.demand(l.id, r, w.stretch(l, r, unit), l.lead())
		w.touched(l, r, l.id)
	}
	return l.id
}

// allotment is one lane's part of what all lanes share, in bytes.
type allotment struct {
	budget int64 // of [Config.Budget]
	quick  int64 // of quickWindows
}

// allot divides budget among so many lanes.
func allot(budget, lanes int64) allotment {
	lanes = max(lanes, 1)
	return allotment{budget: budget / lanes, quick: quickWindows / lanes}
}

// outcome is how a read ended, and when.
type outcome struct {
	at     time.Time
	took   time.Duration
	missed bool // some of its bytes had to be asked for
	waited bool // they were not all here when it began
}

// done says that a read of the lane has its bytes, or an error.
func (w *window) done(id int64, o outcome) {
	if o.missed {
		w.pace.note(o.took)
	}
	if i := w.index(id); i >= 0 {
		l := &w.lanes[i]
		l.reading--
		l.climb.note(l.run, o.at, o.waited, l.quick)
	}
}

// streaming tells whether r was read by a sequential lane.
func (w *window) streaming(r objstore.Range) bool {
	for i := range w.lanes {
		if l := &w.lanes[i]; l.sequential && l.start <= r.Off && r.End() <= l.pos {
			return true
		}
	}
	return false
}

// idle ends what was predicted for lanes that nobody has read since before, and for random reads when there were none
// since. The lanes stay where they are, and predict again when they are read on.
func (w *window) idle(before time.Time) {
	for i := range w.lanes {
		l := &w.lanes[i]
		if l.reading == 0 && !l.resting() && l.last.Before(before) {
			l.asked, l.last = 0, time.Time{}
			w.ended = append(w.ended, l.id)
			w.tally.dropped++
		}
	}
	if w.lastRandom.Before(before) {
		w.turn(fileLife)
		w.turn(fileLife)
	}
}

// active counts the lanes that need a share of the budget.
func (w *window) active() (n int64) {
	if w.whole() {
		return 0
	}
	for i := range w.lanes {
		l := &w.lanes[i]
		if l.reading > 0 || l.sequential && l.pos < int64(w.grid) && !l.resting() {
			n++
		}
	}
	return n
}

// wantsAll tells whether the file is read at random, so that it would be best to have all of it: unless half of it had
// to be fetched again, since then it evidently does not stay.
func (w *window) wantsAll() bool {
	return w.generation != fileLife && w.fetched <= int64(w.grid)+int64(w.grid)/2
}

// whole tells whether the file is small enough to be fetched whole.
func (w *window) whole() bool { return w.grid.chunks() <= wholeChunks }

// random tells whether a new lane is more likely a jump than a start.
func (w *window) random() bool {
	n := 0
	for i := range w.lanes {
		if w.lanes[i].abandoned() {
			n++
		}
	}
	return n >= abandonedLanes
}

// find is the lane nearest to r, nil if none is near.
func (w *window) find(r objstore.Range) *lane {
	var nearest *lane
	least := reach(r.Len) + 1
	for i := range w.lanes {
		if d := w.lanes[i].distance(r.Off); d < least {
			nearest, least = &w.lanes[i], d
		}
	}
	return nearest
}

// begin makes a lane for r.
func (w *window) begin(r objstore.Range) *lane {
	l := newLane(w.nextID, r.Off)
	w.nextID++
	overtaken := w.tick == 1 && r.Len >= readaheadStart && r.Off <= farJump
	switch {
	case r.Off == 0 || overtaken:
		l.start, l.sequential = 0, true
	case !w.whole() && w.random():
		l.small = true
	}
	if len(w.lanes) == maxLanes {
		w.drop()
	}
	w.lanes = append(w.lanes, l)
	return &w.lanes[len(w.lanes)-1]
}

// drop forgets the lane that is least likely read on.
func (w *window) drop() {
	worst := slices.MinFunc(w.lanes, func(a, b lane) int {
		if d := worth(&a) - worth(&b); d != 0 {
			return d
		}
		return int(a.tick - b.tick)
	})
	w.ended = append(w.ended, worst.id)
	w.tally.dropped++
	w.lanes = slices.Delete(w.lanes, w.index(worst.id), w.index(worst.id)+1)
}

func worth(l *lane) int {
	switch {
	case l.abandoned():
		return 0
	case l.reading == 0:
		return 1
	}
	return 2
}

func (w *window) index(id int64) int {
	return slices.IndexFunc(w.lanes, func(l lane) bool { return l.id == id })
}

// turnGeneration starts a new generation of random reads' fills when the present one is full.
func (w *window) turnGeneration() {
	full := max(w.budget/4, ChunkSize)
	if w.fits {
		full = max(w.budget, ChunkSize) // what completes a file is wanted until it is there
	}
	if w.generation != fileLife && w.generationBytes < full {
		return
	}
	w.turn(w.nextID)
	w.nextID++
}

// turn makes next the generation, and ends the one before the last.
func (w *window) turn(next int64) {
	if w.previous != fileLife {
		w.ended = append(w.ended, w.previous)
	}
	w.previous, w.generation, w.generationBytes = w.generation, next, 0
}

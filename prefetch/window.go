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

// ask is one range to ask the source for.
type ask struct {
	objstore.Range
	class      objstore.Class
	first      int64 // what somebody waits for; means something in demand asks only
	prediction int64 // whose it is: a lane's id, a generation of random reads, or fileLife
	foreseen   bool  // the lane had asked for it before
}

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

// setFits says that the file is, or is not any more, counted on to end up in memory. When it is, all its chunks are remembered.
func (w *window) setFits(fits bool) {
	w.fits = fits
	if fits {
		w.touches.limit = int(min(w.grid.chunks(), maxTouches))
	}
}

// read takes the read of r, which is within the file and not empty, into account and returns the id of its lane, for done.
// part is what the lane may use.
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

// answered tells the machine what the source made of an ask, and whether it is worth going on with the asks after it.
func (w *window) answered(a ask, accepted, started int64) (goOn bool) {
	w.fetched += started
	if a.prediction == w.generation && a.prediction != fileLife {
		w.generationBytes += started
	}
	if a.class == objstore.ClassDemand {
		if started > 0 {
			w.touches.missing(a.Off / ChunkSize)
		}
		if i := w.index(a.prediction); started > 0 && a.foreseen && i >= 0 { // it did not stay; nor may what comes next have
			w.lanes[i].asked = a.End()
		}
		return true
	}
	if accepted >= a.Len {
		return true
	}
	if i := w.index(a.prediction); i >= 0 {
		l := &w.lanes[i]
		l.short(a.Off+max(accepted, 0), w.grid.up(l.pos, l.unit))
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

// wantsAll tells whether the file is read at random, so that it would be best to have all of it: unless half of it had to
// be fetched again, since then it evidently does not stay.
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

// stretch is what a read in a lane that gets chunks asks for: from where it is to the end of the unit, or all of the unit
// when the lane has just come into it: parts that readahead let be overtaken are still to come.
func (w *window) stretch(l *lane, r objstore.Range, unit int64) objstore.Range {
	from := down(r.Off, BlockSize)
	if enter := down(r.Off, unit); l.sequential && l.start <= enter && r.Off-enter <= farJump {
		from = enter
	}
	return objstore.Range{Off: from, Len: w.grid.up(r.End(), unit) - from}
}

// demand asks for all of what, in which r is what somebody waits for. Up to lead bytes before r come along with it.
func (w *window) demand(prediction int64, r, what objstore.Range, lead int64) {
	for off := what.Off; off < what.End(); {
		part := objstore.Range{Off: off, Len: min(w.grid.up(off+1, ChunkSize), what.End()) - off}
		first := max(r.Off, off)
		if first-off <= lead {
			first = off
		}
		w.asks = append(w.asks, ask{Range: part, class: objstore.ClassDemand, first: first, prediction: prediction})
		off = part.End()
	}
}

// ahead asks for what the lane's window has come to cover.
func (w *window) ahead(l *lane, share, unit int64) {
	here := w.grid.up(l.pos, unit)
	if l.asked = max(l.asked, here); here <= l.refused {
		return
	}
	target := min(here+l.window(share, unit), int64(w.grid))
	for l.asked < target {
		next := w.grid.up(l.asked+1, unit)
		w.asks = append(w.asks, ask{
			Range:      objstore.Range{Off: l.asked, Len: next - l.asked},
			class:      objstore.ClassPrefetch,
			prediction: l.id,
		})
		l.asked = next
	}
}

// touched completes the chunk of r when that is worth it.
func (w *window) touched(l *lane, r objstore.Range, prediction int64) {
	chunk := w.grid.cover(r.Off, r.Off+1, ChunkSize)
	var blocks uint16
	for off := r.Off; off < min(r.End(), chunk.End()); off = down(off, BlockSize) + BlockSize {
		blocks |= 1 << ((off - chunk.Off) / BlockSize)
	}
	again := w.touches.note(chunk.Off/ChunkSize, l.id, blocks)
	if !again || !w.pace.spend() {
		return
	}
	w.touches.complete(chunk.Off / ChunkSize)
	w.tally.completed++
	w.asks = append(w.asks, ask{Range: chunk, class: objstore.ClassPrefetch, prediction: prediction})
}

// unitOf is what is asked for at a time: a chunk, or what a share of less leaves of it.
func unitOf(share int64) int64 {
	unit := int64(ChunkSize)
	for unit > share && unit > BlockSize {
		unit /= 2
	}
	return unit
}

package prefetch

import "github.com/headrace/headrace/objstore"

// ask is one range to ask the source for.
type ask struct {
	objstore.Range
	class      objstore.Class
	first      int64 // what somebody waits for; means something in demand asks only
	prediction int64 // whose it is: a lane's id, a generation of random reads, or fileLife
	foreseen   bool  // the lane had asked for it before
}

// stretch is what a read in a lane that gets chunks asks for: from where it is to the end of the unit, or all of the
// unit when the lane has just come into it: parts that readahead let be overtaken are still to come.
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

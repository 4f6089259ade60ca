package prefetch

import "time"

const (
	// firstWindow is as far as a lane's window grows while its reader never has to wait. What is further ahead than that
	// only occupies memory.
	firstWindow = 4 * ChunkSize

	// maxWindow is as far ahead as one lane gets: one reader takes at most 2.5 GiB/s through the kernel, which at
	// 80 MiB/s a connection needs 32 requests.
	maxWindow = 32 * ChunkSize

	// quickWindows is what the windows of all lanes together grow to at once when their readers wait. Sixteen requests
	// keep most networks busy; whether more do any good is found out.
	quickWindows = 16 * ChunkSize

	// quickEvery is which part of its window a lane must have read since the window last grew quickly, so that many reads
	// that wait for the same request count once.
	quickEvery = 8

	// worthIt is how much faster a lane must be for a window half as large again, or it has the smaller one back: a reader
	// that waits for the processor, a disk or its own network waits as long whatever is under way, and what is under
	// way occupies memory.
	worthIt = 1.25

	// measureFor is over how many windows' worth a rate is measured: on a busy machine one is mostly noise.
	measureFor = 2

	// restFor is how many windows' worth is read after that before a larger one is tried again.
	restFor = 16
)

// climb finds out how far ahead of its reader a lane need ask. It is a pure state machine: reads in, wanted out.
//
// INVARIANT: firstWindow <= wanted <= maxWindow.
type climb struct {
	wanted int64 // bytes ahead
	since  int64 // the lane's run from which what is seen is owed to wanted
	waited bool  // some read has had to wait since mark

	mark   int64 // the run from which the rate is measured
	markAt time.Time

	from   int64   // what wanted was before it was raised on trial; 0 when it is no trial
	before float64 // the rate with it, in bytes a second
}

func newClimb() climb { return climb{wanted: firstWindow} }

// note takes a read into account that ended at a time, when the lane had read run bytes. waited tells that its bytes
// were not there; quick is this lane's part of quickWindows.
func (c *climb) note(run int64, at time.Time, waited bool, quick int64) {
	if c.wanted < quick {
		if waited && run-c.since >= c.wanted/quickEvery {
			c.try(min(2*c.wanted, quick), run)
		}
		return
	}
	c.waited = c.waited || waited
	switch measured := run - c.mark; {
	case run < c.since+c.wanted: // what was asked for before is still being read
		return
	case c.markAt.IsZero():
		c.mark, c.markAt, c.waited = run, at, false
		return
	case measured < measureFor*c.wanted || !at.After(c.markAt):
		return
	default:
		c.decide(float64(measured)/at.Sub(c.markAt).Seconds(), run)
	}
}

// decide goes by the rate that was measured with the present window.
func (c *climb) decide(rate float64, run int64) {
	switch {
	case c.from > 0 && rate < worthIt*c.before:
		c.try(c.from, run)
		c.since += restFor * c.wanted
	case c.waited && c.wanted < maxWindow:
		from := c.wanted
		c.try(min(down(from+from/2+ChunkSize-1, ChunkSize), maxWindow), run)
		c.from, c.before = from, rate
	default:
		c.try(c.wanted, run)
	}
}

// try makes w the window.
func (c *climb) try(w, run int64) {
	*c = climb{wanted: max(w, firstWindow), since: run}
}

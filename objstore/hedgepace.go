package objstore

import (
	"slices"
	"time"
)

const (
	// hedgeMultiple is how many times the recent median a wait lasts before a second request is made for it, when there is
	// budget enough. With the time that one takes, a demand read in a store that stalls takes about five medians. At less,
	// the slower half of an ordinary store would use up the budget.
	hedgeMultiple = 4
	// hedgeFrugal is how many times it lasts when the budget is nearly used up: what is left of it is for waits that do
	// not end by themselves. More, and the slowest of a thousand reads would take ten medians.
	hedgeFrugal = 7
	// hedgeFloor is the shortest wait that a second request is made for: below, it is the machine that was busy.
	hedgeFloor = 5 * time.Millisecond
	// hedgeRecent is how many times make the recent past.
	hedgeRecent = 64
	// hedgeLearned is how many times must be known before anything is slow.
	hedgeLearned = 16
	// hedgeSaved is the most second requests that quiet times save up for a bad one.
	hedgeSaved = 16
	// hedgeUnknown is after how long to look again when it is not known yet what is slow.
	hedgeUnknown = 100 * time.Millisecond
)

// recentTimes are the last few of something that takes time. The zero value has none.
type recentTimes struct {
	ring   [hedgeRecent]time.Duration
	count  int // ever
	sorted []time.Duration
}

func (r *recentTimes) add(d time.Duration) {
	r.ring[r.count%hedgeRecent] = d
	r.count++
	r.sorted = r.sorted[:0]
}

// median is that of the recent times and of so many unfinished ones that are longer than it; false when it is not
// known, or when most of all are unfinished.
func (r *recentTimes) median(unfinished int) (time.Duration, bool) {
	n := min(r.count, hedgeRecent)
	if n < hedgeLearned {
		return 0, false
	}
	if len(r.sorted) == 0 {
		r.sorted = append(r.sorted, r.ring[:n]...)
		slices.Sort(r.sorted)
	}
	if rank := (n + unfinished) / 2; rank < n {
		return r.sorted[rank], true
	}
	return 0, false
}

// hedgePace decides for which waits a second request is made. It is a pure state machine.
//
// What is slow is measured by the recent past: the median time to the first byte, and inside bodies also the median of
// the longest gaps. Waits of somebody that are slow already and have not ended count as longer than it, so that a store
// which is slow as a whole is not taken for one in which a few requests have bad luck, and when most have stalled no
// second request is made at all. In a store where more waits are longer than the budget has second requests for, the
// longer ones get them: the less is saved, the longer a wait has to be.
//
// INVARIANT: second requests taken <= budget * requests earned.
type hedgePace struct {
	budget  float64 // second requests for each request
	answers recentTimes
	gaps    recentTimes // the longest of each body
	late    int         // waits of somebody that have become slow and have not ended
	saved   float64     // second requests that may be made now
}

// earn counts a request that was sent.
func (p *hedgePace) earn() { p.saved = min(p.saved+p.budget, hedgeSaved) }

// take tells whether there is a second request in the budget, which is used up then.
func (p *hedgePace) take() bool {
	if p.saved < 1 {
		return false
	}
	p.saved--
	return true
}

// giveBack is for a second request that was taken and never sent.
func (p *hedgePace) giveBack() { p.saved++ }

// slow is from how long on a wait is, for the first byte or, in a body, for more. False when that is not known.
func (p *hedgePace) slow(inBody bool) (time.Duration, bool) {
	median, known := p.answers.median(p.late)
	if !known {
		return 0, false
	}
	if gap, known := p.gaps.median(p.late); inBody && known {
		median = max(median, gap)
	}
	used := 1 - min(p.saved/hedgeSaved, 1)
	multiple := hedgeMultiple + (hedgeFrugal-hedgeMultiple)*used
	return max(time.Duration(multiple*float64(median)), hedgeFloor), true
}

package objstore

import (
	"math"
	"time"
)

// How the limit moves. The store's own advice is to begin, watch throughput and adjust; what follows is how fast.
const (
	defaultStartLimit = 64  // polite, and enough for most networks: LOTA was best between 64 and 200 requests a node
	defaultMaxLimit   = 300 // the store's advice for one node
	throttleFloor     = 4   // however often the store throttles, so that work goes on
	fallFloor         = 24  // for falls that cost no work: what prefetch may use of it fills 10 Gbit/s of any store measured

	windowTime = 500 * time.Millisecond // long enough for tens of 16 MiB bodies at 80 MiB/s a connection
	windowMax  = 4 * time.Second        // a window closes by now even if less than half of the slots turned over in it

	turnover     = 512 << 10 // bytes: what a slot moves at least before a window closes, if no request ends: enough to even out pieces and bursts
	requestWorth = 128 << 10 // bytes: what a request with a body counts for beside it, so that small ones count as work too

	steepStep    = 4  // a move adds or takes one slot of so many; first climbs below defaultStartLimit double...
	gentleStep   = 8  // ...and after one that was taken back the next try is smaller, since most tries at rest are in vain
	cautiousStep = 16 // what climbs add after throttling, one slot to so many

	climbGain = 0.12 // share of the added slots that must show as added work, or the climb is taken back
	fallLoss  = 0.12 // share of the slots taken that may show as lost work, over all falls in a row, or the last one is taken back
	change    = 1.10 // by so much work at rest moves, two windows in a row, when it is the store that has changed

	climbRest    = 5 * time.Second  // from a climb that was taken back to the next: at the edge of a store's best it costs little
	fallRest     = 10 * time.Second // from a fall that was taken back to the next, which costs what the fall takes; doubles...
	fallRestMax  = 40 * time.Second // ...up to this, as long as falls are taken back
	throttleRest = 2 * time.Second  // without a trial, after throttling
	cautiousTime = time.Minute      // of small steps after throttling
	maxPause     = 30 * time.Second // whatever Retry-After says
)

// trial says in which direction the limit was last moved without knowing yet whether that was right.
type trial int

const (
	noTrial trial = iota
	climbing
	falling
)

// limitFollower decides how many requests may be under way at once. It is a pure state machine: time is what it is
// told, counted from any beginning.
//
// It goes by work done alone, not by latency. It moves the limit one step and keeps what the next window proves: a
// climb must bring work, a fall must cost none. So it comes to the smallest limit at which the store does its best,
// from whichever side, and since it tries again from time to time, and at once when work changes by itself, it follows.
// It moves only while requests wait for slots. Throttling is different: it is an order, and halves the limit at once,
// once for all requests that were under way.
//
// INVARIANT: 1 <= limit <= max.
// INVARIANT: a trial is under way only with a base on the other side of the limit.
type limitFollower struct {
	max   int
	limit int

	opened   time.Duration // when the present window began, or the settling
	settling bool          // no window is open: what is under way is not yet what the limit allows

	trial    trial
	base     int     // limit before the trial
	baseWork float64 // work a second at base; while falling, the most of all falls in a row
	next     trial   // what is tried first when both may be
	overshot bool    // a climb was taken back: from then on there are no large ones
	gentle   bool    // the last trial was taken back
	data     bool    // the last window's work was that of bodies: work of different kinds cannot be compared

	climbFrom time.Duration // no climb before
	fallFrom  time.Duration // no fall before
	fallWait  time.Duration // how long the next rest from falls is
	steady    float64       // work a second since the limit came to rest; 0 while it moves
	strange   int           // windows in a row in which it was not that

	fell          time.Duration // when throttling last lowered the limit
	cautiousUntil time.Duration
	pausedUntil   time.Duration // what the store asked for in Retry-After
}

func newLimitFollower(start, highest int) limitFollower {
	if highest <= 0 {
		highest = defaultMaxLimit
	}
	if start <= 0 {
		start = defaultStartLimit
	}
	l := limitFollower{max: highest, limit: min(start, highest), settling: true, next: climbing, fallWait: fallRest, fell: math.MinInt64}
	if l.limit > defaultStartLimit {
		l.next = falling
	}
	return l
}

// idle forgets the present window: nothing was under way for a while, which tells nothing about the store.
func (l *limitFollower) idle(now time.Duration) {
	l.opened, l.settling = now, true
}

// begins tells whether a window begins now: requests under way have come down to the limit, and something has come of
// them.
func (l *limitFollower) begins(now time.Duration, inUse int, since window) bool {
	came := since.answers > 0 || since.bytes > 0
	if !l.settling || (inUse > l.limit || !came) && now-l.opened < windowMax {
		return false
	}
	l.opened, l.settling = now, false
	return true
}

// due tells whether the present window has seen enough: most slots have shown what they bring.
func (l *limitFollower) due(now time.Duration, w window) bool {
	if l.settling {
		return false
	}
	open := now - l.opened
	turned := w.answers >= l.limit/2 || w.streamed >= int64(l.limit)*turnover
	return open >= windowTime && (turned || open >= windowMax)
}

// look closes a window and moves the limit by what was seen in it.
func (l *limitFollower) look(now time.Duration, w window) {
	elapsed := now - l.opened
	l.opened = now
	if elapsed <= 0 {
		return
	}
	work, same := w.work(elapsed), w.data() == l.data
	if l.data = w.data(); !same {
		l.steady = 0
	}
	if l.trial != noTrial && !(same && l.proved(work)) {
		l.takeBack(now, w.waiting && same)
		return
	}
	most := work
	if l.trial == falling {
		most = max(work, l.baseWork)
	}
	if l.trial != noTrial {
		l.next, l.fallWait, l.gentle = l.trial, fallRest, false
	}
	l.trial = noTrial
	if !w.waiting {
		l.steady = 0 // too little was asked to learn more
		return
	}
	l.notice(now, work)
	mayClimb, mayFall := now >= l.climbFrom && l.limit < l.max, now >= l.fallFrom && l.limit > fallFloor
	switch {
	case mayFall && (l.next == falling || !mayClimb):
		l.baseWork = most
		l.try(falling, max(fallFloor, l.limit-l.fallStep()))
		l.settling = true
	case mayClimb:
		l.baseWork = work
		l.try(climbing, min(l.max, l.limit+l.climbStep(now)))
	}
}

// proved tells whether the trial was right.
func (l *limitFollower) proved(work float64) bool {
	if l.trial == climbing {
		return work >= l.baseWork*(1+climbGain*(float64(l.limit)/float64(l.base)-1))
	}
	return work >= l.baseWork*(1-fallLoss*(1-float64(l.limit)/float64(l.base)))
}

// takeBack ends a trial that was wrong. A rest follows only if there was enough to do for the trial to be fair.
func (l *limitFollower) takeBack(now time.Duration, fair bool) {
	l.settling = l.trial == climbing
	l.gentle = l.gentle || fair
	switch {
	case !fair:
	case l.trial == climbing:
		l.climbFrom, l.next, l.overshot = now+climbRest, falling, true
	case l.trial == falling:
		l.fallFrom, l.next = now+l.fallWait, climbing
		l.fallWait = min(2*l.fallWait, fallRestMax)
	}
	l.trial, l.limit, l.steady, l.strange = noTrial, l.base, 0, 0
}

// notice compares the work of a limit at rest with what it was. When it is another, the store has changed, and rests
// are over.
func (l *limitFollower) notice(now time.Duration, work float64) {
	switch {
	case now >= l.climbFrom && now >= l.fallFrom:
		l.steady = 0
	case l.steady == 0:
		l.steady, l.strange = work, 0
	case work > l.steady/change && work < l.steady*change:
		l.strange = 0
	default:
		if l.strange++; l.strange < 2 {
			return
		}
		l.next = climbing
		if work < l.steady {
			l.next = falling
		}
		l.steady, l.fallFrom, l.fallWait, l.gentle = 0, now, fallRest, false
		if now >= l.cautiousUntil {
			l.climbFrom = now
		}
	}
}

func (l *limitFollower) try(t trial, limit int) {
	l.trial, l.base, l.limit = t, l.limit, limit
	l.steady, l.strange = 0, 0 // what another limit brings is no news of the store
}

func (l *limitFollower) climbStep(now time.Duration) int {
	switch {
	case now < l.cautiousUntil:
		return max(1, l.limit/cautiousStep)
	case l.limit < defaultStartLimit && !l.overshot:
		return min(l.limit, defaultStartLimit-l.limit)
	default:
		return max(1, l.limit/l.step())
	}
}

func (l *limitFollower) step() int {
	if l.gentle {
		return gentleStep
	}
	return steepStep
}

// fallStep is half above what any store was seen to be best at: there it may be close to serving nobody.
func (l *limitFollower) fallStep() int {
	if l.limit > defaultMaxLimit {
		return l.limit / 2
	}
	return l.limit / l.step()
}

// throttled lowers the limit because the store refused a request that was sent at the time sent.
func (l *limitFollower) throttled(now, sent, retryAfter time.Duration) {
	if retryAfter > 0 {
		l.pausedUntil = max(l.pausedUntil, now+min(retryAfter, maxPause))
	}
	l.climbFrom, l.fallFrom = now+throttleRest, max(l.fallFrom, now+throttleRest)
	l.cautiousUntil = now + cautiousTime
	if sent <= l.fell {
		return // it was under way when the limit fell
	}
	l.fell = now
	l.trial, l.next, l.steady, l.strange, l.opened, l.settling = noTrial, climbing, 0, 0, now, true
	l.limit = max(l.limit/2, min(throttleFloor, l.limit))
}

// hung lowers the limit because the store has stopped serving any of those under way.
func (l *limitFollower) hung(now time.Duration, inUse int) {
	l.trial, l.next, l.steady, l.strange, l.gentle = noTrial, falling, 0, 0, false
	l.opened, l.settling = now, true
	l.fallFrom, l.climbFrom = now, now+climbRest
	l.limit = max(min(l.limit, inUse)/2, min(fallFloor, l.limit))
	l.limit = min(l.limit, defaultMaxLimit)
}

// ceiling is how many requests in all may be under way for one more of class c to start below it. The last slots are
// kept for those somebody waits for, so that a demand read finds one free although prefetch could use them all; warming
// takes no more than half.
func (l *limitFollower) ceiling(c Class) int {
	switch {
	case c <= ClassDemand:
		return l.limit
	case c <= ClassPrefetch:
		return max(1, l.limit-reservedSlots(l.limit))
	default:
		return max(1, l.limit/2)
	}
}

// reservedSlots is an eighth of the limit, at most 16: random readers and lookups that come while prefetch is at its
// ceiling.
func reservedSlots(limit int) int { return min((limit+7)/8, 16) }

// paused tells whether the store asked for a pause that class c should keep. What somebody waits for is not held up:
// stores throttle by key range, the retry of the refused request waits by itself, and the halved limit bounds the rest.
func (l *limitFollower) paused(now time.Duration, c Class) bool {
	return c >= ClassPrefetch && now < l.pausedUntil
}

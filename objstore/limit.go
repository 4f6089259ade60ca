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
	slownessFloor     = 24  // for falls because of latency: what prefetch may use of it fills 10 Gbit/s of any store measured

	windowTime = 500 * time.Millisecond // long enough for tens of 16 MiB bodies at 80 MiB/s a connection
	windowMax  = 4 * time.Second        // a window closes by now even if less than half of the slots turned over in it

	requestWorth = 128 << 10 // bytes: what a request counts for beside its body, so that small ones count as work too

	steepStep    = 4  // while never throttled, a climb adds one slot to so many
	cautiousStep = 16 // after throttling

	climbGain = 0.25 // share of the added slots that must show as added work, or the climb is taken back
	fallLoss  = 0.05 // share of work whose loss, over all falls in a row, takes the last one back
	moreWork  = 1.10 // so much more work than at the last look excuses latency

	slowFactor  = 2.0                   // answers are slow when they take so many times the calm time...
	slowSlack   = 10 * time.Millisecond // ...and so much longer: below, latency says nothing about load
	calmAnswers = 4                     // a window with fewer first bytes says nothing about latency
	calmDrift   = 256                   // windows after which a longer calm time is believed: about two minutes of load

	restTime     = 10 * time.Second // between two attempts to move the limit the same way, after one that was taken back
	throttleRest = 2 * time.Second  // without climbing, after throttling
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

// window is what was seen since the last look at the limit.
type window struct {
	bytes     int64         // moved either way
	answers   int           // requests ended
	firstByte time.Duration // sum over the reads among them
	reads     int
	waiting   bool // a request is queued for a slot at the end: the limit is what holds it
}

// limitFollower decides how many requests may be under way at once. It is a pure state machine: time is what it is told,
// counted from any beginning.
//
// It moves the limit one step and keeps what the next window proves. A climb must bring work, a fall must cost none. It
// climbs only while requests wait for slots; it falls when first bytes take longer than they can, and no more work is
// done for it. Throttling is different: it is an order, and halves the limit at once, once for all requests that were
// under way.
//
// INVARIANT: 1 <= limit <= max.
// INVARIANT: a trial is under way only with a base on the other side of the limit.
type limitFollower struct {
	max   int
	limit int

	opened time.Duration // when the present window began

	trial    trial
	base     int     // limit before the trial
	baseWork float64 // work a second at base; before the first trial, at the last look

	calm          time.Duration // mean time to the first byte when the store is not loaded; 0 unknown
	fell          time.Duration // when throttling last lowered the limit
	cautiousUntil time.Duration
	climbRest     time.Duration // no climb before
	fallRest      time.Duration // no fall because of latency before
	pausedUntil   time.Duration // what the store asked for in Retry-After
}

func newLimitFollower(start, highest int) limitFollower {
	if highest <= 0 {
		highest = defaultMaxLimit
	}
	if start <= 0 {
		start = defaultStartLimit
	}
	return limitFollower{max: highest, limit: min(start, highest), fell: math.MinInt64}
}

// due tells whether the present window has seen enough.
func (l *limitFollower) due(now time.Duration, answers int) bool {
	open := now - l.opened
	return open >= windowTime && (answers >= l.limit/2 || open >= windowMax)
}

// look closes a window and moves the limit by what was seen in it.
func (l *limitFollower) look(now time.Duration, w window) {
	elapsed := now - l.opened
	l.opened = now
	latency := l.latency(w)
	if !w.waiting || elapsed <= 0 {
		l.trial, l.baseWork = noTrial, 0 // too little was asked to learn anything
		return
	}
	work := (float64(w.bytes) + float64(w.answers)*requestWorth) / elapsed.Seconds()
	slow := l.slow(latency)
	most := work // since the falls began
	switch l.trial {
	case climbing:
		if work < l.baseWork*(1+climbGain*(float64(l.limit)/float64(l.base)-1)) {
			l.takeBack()
			l.climbRest = now + restTime
			return
		}
		slow = false // more work was done for it
	case falling:
		if work < l.baseWork*(1-fallLoss) {
			l.takeBack()
			l.fallRest = now + restTime
			l.calm = max(l.calm, latency) // it is not our requests that make the store slow
			return
		}
		most = max(work, l.baseWork)
	case noTrial:
		slow = slow && l.baseWork > 0 && work < l.baseWork*moreWork
	}
	l.trial, l.baseWork = noTrial, work
	switch {
	case slow && now >= l.fallRest && l.limit > slownessFloor:
		l.baseWork = most
		l.try(falling, max(slownessFloor, l.limit-l.limit/steepStep))
	case now >= l.climbRest && l.limit < l.max:
		l.try(climbing, min(l.max, l.limit+max(1, l.limit/l.step(now))))
	}
}

// latency is the window's mean time to the first byte, 0 when there were too few; the calm time follows it.
func (l *limitFollower) latency(w window) time.Duration {
	if w.reads < calmAnswers {
		return 0
	}
	mean := w.firstByte / time.Duration(w.reads)
	if l.calm == 0 || mean < l.calm {
		l.calm = mean
	} else {
		l.calm += (mean - l.calm) / calmDrift
	}
	return mean
}

func (l *limitFollower) slow(latency time.Duration) bool {
	return latency > time.Duration(slowFactor*float64(l.calm))+slowSlack
}

func (l *limitFollower) try(t trial, limit int) {
	l.trial, l.base, l.limit = t, l.limit, limit
}

func (l *limitFollower) takeBack() {
	l.trial, l.limit = noTrial, l.base
}

func (l *limitFollower) step(now time.Duration) int {
	if now < l.cautiousUntil {
		return cautiousStep
	}
	return steepStep
}

// throttled lowers the limit because the store refused a request that was sent at the time sent.
func (l *limitFollower) throttled(now, sent, retryAfter time.Duration) {
	if retryAfter > 0 {
		l.pausedUntil = max(l.pausedUntil, now+min(retryAfter, maxPause))
	}
	l.climbRest = now + throttleRest
	l.cautiousUntil = now + cautiousTime
	if sent <= l.fell {
		return // it was under way when the limit fell
	}
	l.fell = now
	l.trial = noTrial
	l.limit = max(l.limit/2, min(throttleFloor, l.limit))
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

// reservedSlots is an eighth of the limit, at most 16: random readers and lookups that come while prefetch is at its ceiling.
func reservedSlots(limit int) int { return min((limit+7)/8, 16) }

// paused tells whether the store asked for a pause that class c should keep. What somebody waits for is not held up:
// stores throttle by key range, the retry of the refused request waits by itself, and the halved limit bounds the rest.
func (l *limitFollower) paused(now time.Duration, c Class) bool {
	return c >= ClassPrefetch && now < l.pausedUntil
}

package objstore

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// hungPace is less than what a read brings a second in a store that works: a chunk would take two minutes...
	hungPace = 128 << 10
	// ...and hungPart less than what part of the best of late all bring together, so that a slow line is not taken for a
	// store that hangs.
	hungPart = 1.0 / 16
	// lately is what the best of late loses in a look: half of it in half a minute.
	lately = 0.99
	// shedAfter is for how long reads may bring so little, together and each, before they are taken to hang: longer than
	// stores that work take for a first byte.
	shedAfter = 2 * time.Second
	// shedFloor is how few reads are never taken to hang together: few cannot be what overloads a store.
	shedFloor = fallFloor
	// listenEvery is how often the silence is looked at.
	listenEvery = 500 * time.Millisecond
)

// A store that is asked for too much at once may stop serving anybody. Then no request ends, so that a lower limit
// alone would change nothing. Silence is the sign: when next to nothing has come for shedAfter while at least shedFloor
// reads wait, and at least so many of them have been below hungPace for as long, the limit falls to half, and those of
// them above it are broken off as timed out, the least urgent first. Whoever asked asks again, and waits for a slot.
// Where each is answered within that time, however little there is to be read, none hangs.

// silence is since when next to nothing has come. The gate's mu guards it.
type silence struct {
	timer  *time.Timer
	on     bool          // the timer runs
	since  time.Duration // the silence
	heard  time.Duration // when it was last looked at
	moved  int64         // bytes of bodies read, then
	served uint64        // requests, then
	best   float64       // bytes a second, of late
}

// gatedRead is an Open under way, as seen by who may have to break it off.
type gatedRead struct {
	cancel context.CancelFunc
	waits  atomic.Bool  // for an answer, or for a byte of the body
	moved  atomic.Int64 // bytes of its body read
	shed   atomic.Bool  // it was broken off

	// Guarded by the gate's mu.
	since time.Duration // from when on it has been below hungPace
	had   int64         // what moved was then
}

// hangs tells whether the read is one that hangs, now that it is looked at.
func (r *gatedRead) hangs(now time.Duration) bool {
	moved := r.moved.Load()
	if !r.waits.Load() || float64(moved-r.had) >= hungPace*(now-r.since).Seconds() {
		r.since, r.had = now, moved
	}
	return now-r.since >= shedAfter
}

// listen sees to it that silence is noticed from now on. It is called with mu held.
func (g *Gate) listen(now time.Duration) {
	q := &g.silence
	if q.on {
		return
	}
	q.on, q.since, q.heard, q.moved, q.served = true, now, now, g.moved.Load(), g.served
	if q.timer == nil {
		q.timer = time.AfterFunc(listenEvery, g.hear)
		return
	}
	q.timer.Reset(listenEvery)
}

// hear looks whether there is silence, and breaks reads off if there was for long.
func (g *Gate) hear() {
	now := time.Since(g.born)
	g.mu.Lock()
	before := g.limit.limit
	shed := g.hung(now)
	for _, s := range shed {
		s.read.shed.Store(true)
	}
	g.observe(now) // requests may bring much before one ends
	g.grant(now)
	changed := g.limit.limit != before
	g.mu.Unlock()
	for _, s := range shed {
		s.read.cancel()
	}
	if changed {
		g.tell()
	}
}

// hung returns the slots of reads to be broken off. It is called with mu held.
func (g *Gate) hung(now time.Duration) []*slot {
	q := &g.silence
	reads, waiting, silent := g.silent(now)
	if q.on = reads > 0; !q.on {
		return nil
	}
	defer q.timer.Reset(listenEvery)
	moved, elapsed := g.moved.Load(), now-q.heard
	stopped := elapsed > shedAfter // the process itself was, and has heard nothing
	brought := window{bytes: moved - q.moved, carriers: int(g.served - q.served)}.work(elapsed)
	q.heard, q.moved, q.served, q.best = now, moved, g.served, max(brought, lately*q.best)
	if stopped || brought > hungPart*q.best || brought >= hungPace*float64(waiting) || waiting < shedFloor {
		q.since = now
		return nil
	}
	if now-q.since < shedAfter || len(silent) < shedFloor {
		return nil
	}
	q.since = now
	g.limit.hung(now, g.total)
	above := min(g.total-g.limit.limit, len(silent)-shedFloor)
	if above <= 0 {
		return nil
	}
	slices.SortFunc(silent, func(a, b *slot) int { return cmp.Or(cmp.Compare(b.class, a.class), cmp.Compare(b.taken, a.taken)) })
	g.broken += uint64(above)
	return silent[:above]
}

// silent counts the reads under way, and those whose readers wait; of these it returns the ones that hang.
func (g *Gate) silent(now time.Duration) (reads, waiting int, silent []*slot) {
	for s := range g.slots {
		if s.read == nil {
			continue
		}
		reads++
		hangs := s.read.hangs(now)
		if !s.read.waits.Load() || s.read.shed.Load() {
			continue
		}
		waiting++
		if hangs {
			silent = append(silent, s)
		}
	}
	return reads, waiting, silent
}

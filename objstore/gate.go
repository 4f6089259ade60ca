package objstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// GateConfig says between which limits a gate moves. Zero fields take their defaults.
type GateConfig struct {
	Start int // requests under way at once to begin with; default 64
	Max   int // at most; default 300
}

// Gate bounds the requests under way at once, over all the buckets it wraps, by a limit that moves with what the store can
// bear (see limitFollower), and lets the urgent ones go first. A daemon has one.
//
// A request takes a slot before it is sent and holds it until its answer is read: the slot of an Open until its body
// has ended or is closed, that of a listing only while a page is asked for. Requests that find no slot free wait in the
// order of their class and then of their arrival. The class is that of the context's [Ticket], else the operation's;
// raising the ticket moves the waiting request.
//
// INVARIANT: total is the sum of inUse.
// INVARIANT: who is in a queue has its class and has no slot yet.
// INVARIANT: nobody waits who may start.
type Gate struct {
	born  time.Time    // the limit's time is counted from here
	moved atomic.Int64 // bytes of bodies, since born

	mu      sync.Mutex // guards all fields below up to tellMu
	limit   limitFollower
	seen    window // bytes are what moved was when the window began
	inUse   [NumClasses]int
	total   int // sum of inUse
	queues  [NumClasses]waiterQueue
	counts  [NumClasses]ClassStats // Started, Queued and Waited only
	refused uint64
	wake    *time.Timer // set while a pause holds requests back

	tellMu sync.Mutex // guards the fields below, and keeps the calls of onLimit in order; taken before mu
	// LOCK ORDER: tellMu, mu.
	onLimit func(int)
	told    int
}

// NewGate makes a gate.
func NewGate(cfg GateConfig) *Gate {
	return &Gate{born: time.Now(), limit: newLimitFollower(cfg.Start, cfg.Max)}
}

// OnLimit makes f the one function that is told the limit: now, and whenever it has moved. It must be quick and must not
// call the gate.
func (g *Gate) OnLimit(f func(limit int)) {
	g.tellMu.Lock()
	g.onLimit, g.told = f, 0
	g.tellMu.Unlock()
	g.tell()
}

// tell calls onLimit if the limit is not what it was told last.
func (g *Gate) tell() {
	g.tellMu.Lock()
	defer g.tellMu.Unlock()
	g.mu.Lock()
	limit := g.limit.limit
	g.mu.Unlock()
	if g.onLimit != nil && limit != g.told {
		g.told = limit
		g.onLimit(limit)
	}
}

// slot is the right to have one request under way.
type slot struct {
	class Class
	taken time.Duration // since the gate's birth
}

// acquire waits for a slot for a request of class op.Class() or of the context's ticket.
func (g *Gate) acquire(ctx context.Context, op Op) (slot, error) {
	if err := ctx.Err(); err != nil {
		return slot{}, err
	}
	class := classOf(ctx, op)
	now := time.Since(g.born)
	g.mu.Lock()
	if g.total == 0 && now-g.limit.opened > windowMax { // idleness tells nothing about the store
		g.limit.opened, g.seen = now, window{bytes: g.moved.Load()}
	}
	if g.admits(now, class) && g.queues[class].length == 0 {
		g.take(class)
		g.mu.Unlock()
		return slot{class: class, taken: now}, nil
	}
	w := &waiter{class: class, ready: make(chan struct{})}
	g.queues[class].push(w)
	g.counts[class].Queued++
	g.armWake(now)
	g.mu.Unlock()
	return g.await(ctx, w, now)
}

// await waits until w has its slot or ctx ends.
func (g *Gate) await(ctx context.Context, w *waiter, since time.Duration) (slot, error) {
	if ticket, ok := ctx.Value(ticketKey{}).(*Ticket); ok {
		ticket.OnRaise(func(c Class) { g.raise(w, c) })
		defer ticket.OnRaise(nil)
		g.raise(w, ticket.Class()) // it may have been raised before it was listened to
	}
	var ended error
	select {
	case <-w.ready:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	now := time.Since(g.born)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[w.class].Waited += now - since
	if ended == nil {
		return slot{class: w.class, taken: now}, nil
	}
	if w.granted {
		g.giveBack(w.class)
		g.grant(now)
	} else {
		g.queues[w.class].remove(w)
	}
	return slot{}, ended
}

// raise moves a waiter to a more urgent class.
func (g *Gate) raise(w *waiter, c Class) {
	now := time.Since(g.born)
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.granted || c >= w.class || w.prev == nil && w.next == nil && g.queues[w.class].first != w {
		return // it has its slot, or has left
	}
	g.queues[w.class].remove(w)
	w.class = c
	g.queues[c].push(w)
	g.grant(now)
}

// result is what a request ended with.
type result struct {
	err       error
	sent      int64         // bytes
	firstByte time.Duration // of an Open that was answered, else 0
}

// release ends a request.
func (g *Gate) release(s slot, r result) {
	now := time.Since(g.born)
	throttled := r.err != nil && errors.Is(r.err, ErrThrottled)
	if r.sent > 0 && r.err == nil {
		g.moved.Add(r.sent)
	}
	g.mu.Lock()
	before := g.limit.limit
	g.giveBack(s.class)
	g.seen.answers++
	if r.firstByte > 0 {
		g.seen.firstByte += r.firstByte
		g.seen.reads++
	}
	if throttled {
		g.refused++
		g.limit.throttled(now, s.taken, retryAfter(r.err))
	}
	if g.limit.due(now, g.seen.answers) {
		g.look(now)
	}
	g.grant(now)
	changed := g.limit.limit != before
	g.mu.Unlock()
	if changed {
		g.tell()
	}
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// The rest is called with mu held.

// look closes the limit's window.
func (g *Gate) look(now time.Duration) {
	moved := g.moved.Load()
	w := g.seen
	w.bytes = moved - g.seen.bytes
	for c := range g.queues {
		w.waiting = w.waiting || g.queues[c].length > 0
	}
	g.limit.look(now, w)
	g.seen = window{bytes: moved}
}

func (g *Gate) admits(now time.Duration, c Class) bool {
	return g.total < g.limit.ceiling(c) && !g.limit.paused(now, c)
}

func (g *Gate) take(c Class) {
	g.total++
	g.inUse[c]++
	g.counts[c].Started++
}

func (g *Gate) giveBack(c Class) {
	g.total--
	g.inUse[c]--
}

// grant gives the free slots to those who wait, the most urgent first. A class that may not start one keeps the ones
// after it from it too, since their ceilings are no higher.
func (g *Gate) grant(now time.Duration) {
	for c := range g.queues {
		q := &g.queues[c]
		for q.length > 0 {
			if !g.admits(now, Class(c)) {
				g.armWake(now)
				return
			}
			w := q.first
			q.remove(w)
			w.granted = true
			g.take(w.class)
			close(w.ready)
		}
	}
}

// armWake sees to it that requests held back by a pause go on after it, even if no other request ends then.
func (g *Gate) armWake(now time.Duration) {
	if g.wake != nil || now >= g.limit.pausedUntil {
		return
	}
	g.wake = time.AfterFunc(g.limit.pausedUntil-now, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.wake = nil
		g.grant(time.Since(g.born))
	})
}

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

// Gate bounds the requests under way at once, over all the buckets it wraps, by a limit that moves with what the store
// can bear (see limitFollower), and lets the urgent ones go first. A daemon has one.
//
// A request takes a slot before it is sent and holds it until its answer is read: the slot of an Open until its body
// has ended or is closed, that of a listing only while a page is asked for. Requests that find no slot free wait in the
// order of their class and then of their arrival, but uploads that have waited for long get a part of the slots first.
// The class is that of the context's [Ticket], else the operation's; raising the ticket moves the waiting request.
//
// Where the store throttles some keys only, the requests for those have a limit of their own (see partitionTable), and
// those that wait because of it hold nobody else up. Reads that hang together are broken off; see shed.
//
// INVARIANT: total is the sum of inUse and the number of slots; that of a partition is the number of slots in it.
// INVARIANT: who is in a queue has its class and has no slot yet.
// INVARIANT: nobody waits who may start.
type Gate struct {
	born  time.Time    // the limit's time is counted from here
	moved atomic.Int64 // bytes of bodies read, since born

	mu          sync.Mutex // guards all fields below up to tellMu
	limit       limitFollower
	parts       partitionTable
	slots       map[*slot]struct{} // of the requests under way
	seen        window             // answers, and bytes of requests that have ended
	movedBefore int64              // what moved was when the limit's window began
	inUse       [NumClasses]int
	total       int // sum of inUse
	queues      [NumClasses]waiterQueue
	counts      [NumClasses]ClassStats // Started, Queued and Waited only
	refused     uint64
	served      uint64        // requests that the store has answered
	broken      uint64        // reads that hung, and were broken off
	wake        *time.Timer   // set while a pause holds requests back
	wakeAt      time.Duration // when it fires
	silence     silence

	tellMu sync.Mutex // guards the fields below, and keeps the calls of onLimit in order; taken before mu
	// LOCK ORDER: tellMu, mu.
	onLimit func(int)
	told    int
}

// NewGate makes a gate.
func NewGate(cfg GateConfig) *Gate {
	return &Gate{born: time.Now(), limit: newLimitFollower(cfg.Start, cfg.Max), slots: make(map[*slot]struct{})}
}

// OnLimit makes f the one function that is told the limit: now, and whenever it has moved. It must be quick and must
// not call the gate.
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
	at    place
	taken time.Duration // since the gate's birth
	part  *partition    // guarded by the gate's mu; nil where nothing is throttled
	read  *gatedRead    // of an Open; nil for others
}

// acquire waits for a slot for a request of class op.Class() or of the context's ticket. read is the request if it is
// an Open.
func (g *Gate) acquire(ctx context.Context, op Op, at place, read *gatedRead) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	class := classOf(ctx, op)
	now := time.Since(g.born)
	g.mu.Lock()
	if g.total == 0 && now-g.limit.opened > windowMax {
		g.limit.idle(now)
		g.open()
	}
	s := &slot{class: class, at: at, read: read}
	if g.queues[class].length > 0 {
		g.grant(now) // who waits after this may not start, and this request may overtake them
	}
	if g.admits(now, class) && g.parts.admits(now, class, at) {
		g.take(s, now)
		g.mu.Unlock()
		tellSent(ctx)
		return s, nil
	}
	w := &waiter{slot: s, since: now, ready: make(chan struct{})}
	g.queues[class].push(w)
	g.counts[class].Queued++
	g.armWake(now)
	g.mu.Unlock()
	return g.await(ctx, w)
}

// await waits until w has its slot or ctx ends.
func (g *Gate) await(ctx context.Context, w *waiter) (*slot, error) {
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
	g.counts[w.slot.class].Waited += now - w.since
	if ended != nil {
		if w.granted {
			g.giveBack(w.slot)
			g.grant(now)
		} else {
			g.queues[w.slot.class].remove(w)
		}
		g.mu.Unlock()
		return nil, ended
	}
	g.mu.Unlock()
	tellSent(ctx)
	return w.slot, nil
}

// raise moves a waiter to a more urgent class.
func (g *Gate) raise(w *waiter, c Class) {
	now := time.Since(g.born)
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := w.slot; w.granted || c >= s.class || w.prev == nil && w.next == nil && g.queues[s.class].first != w {
		return // it has its slot, or has left
	}
	g.queues[w.slot.class].remove(w)
	w.slot.class = c
	g.queues[c].push(w)
	g.grant(now)
}

// result is what a request ended with.
type result struct {
	err  error
	sent int64 // bytes
}

// served tells whether the store has answered: also that something is not there, or not allowed, is an answer.
func (r result) served() bool { return r.err == nil || !retryable(r.err, 1) }

// release ends a request.
func (g *Gate) release(s *slot, r result) {
	now := time.Since(g.born)
	throttled := r.err != nil && errors.Is(r.err, ErrThrottled)
	g.mu.Lock()
	before := g.limit.limit
	g.giveBack(s)
	g.seen.add(s.read != nil || r.sent > 0, r)
	if r.served() {
		g.served++
	}
	if throttled {
		g.refused++
		g.throttled(now, s, retryAfter(r.err))
	}
	if g.parts.grow(now, g.limit.limit) {
		g.recount()
	}
	g.observe(now)
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

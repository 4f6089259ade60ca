package objstore

import "time"

const (
	// uploadPatience is after how long uploads go before readers...
	uploadPatience = time.Second
	// ...up to one slot of so many.
	uploadPart = 8
)

// Who may start. All of this is called with the gate's mu held.

// observe has the limit see what there is to be seen.
func (g *Gate) observe(now time.Duration) {
	w := g.window()
	if g.limit.begins(now, g.total, w) {
		g.open()
	} else if g.limit.due(now, w) {
		w.waiting = g.someoneWaits(now)
		g.limit.look(now, w)
		g.open()
	}
}

// window is what was seen since the limit's window began, less whether somebody waits.
func (g *Gate) window() window {
	w := g.seen
	w.streamed = g.moved.Load() - g.movedBefore
	w.bytes += w.streamed
	return w
}

// someoneWaits tells whether the limit keeps a request waiting. Those that wait because of their partition's, or for
// the end of a pause, do not count.
func (g *Gate) someoneWaits(now time.Duration) bool {
	for c := range g.queues {
		if g.limit.paused(now, Class(c)) {
			return false // as those after it
		}
		for w := g.queues[c].first; w != nil; w = w.next {
			if p := g.parts.find(w.slot.at); p == nil || p.open(now, Class(c)) {
				return true
			}
		}
	}
	return false
}

// open begins to see anew.
func (g *Gate) open() {
	g.seen, g.movedBefore = window{}, g.moved.Load()
}

func (g *Gate) admits(now time.Duration, c Class) bool {
	return g.total < g.limit.ceiling(c) && !g.limit.paused(now, c)
}

func (g *Gate) take(s *slot, now time.Duration) {
	s.taken = now
	g.slots[s] = struct{}{}
	g.total++
	g.inUse[s.class]++
	g.counts[s.class].Started++
	if s.part = g.parts.find(s.at); s.part != nil {
		s.part.inUse++
	}
	if s.read != nil {
		s.read.since = now
		g.listen(now)
	}
}

func (g *Gate) giveBack(s *slot) {
	delete(g.slots, s)
	g.total--
	g.inUse[s.class]--
	if s.part != nil {
		s.part.inUse--
		s.part = nil
	}
}

// throttled has the limit fall that the store meant.
func (g *Gate) throttled(now time.Duration, s *slot, retryAfter time.Duration) {
	local, changed := g.parts.throttled(now, s.taken, s.at, retryAfter)
	if changed {
		g.recount()
		g.parts.settle(now)
	}
	if !local {
		g.limit.throttled(now, s.taken, retryAfter)
	}
}

// recount finds the partition of each slot, when they are others than before.
func (g *Gate) recount() {
	for _, p := range g.parts {
		p.inUse = 0
	}
	for s := range g.slots {
		if s.part = g.parts.find(s.at); s.part != nil {
			s.part.inUse++
		}
	}
}

// start gives a waiter its slot, unless its partition keeps it.
func (g *Gate) start(w *waiter, now time.Duration) {
	c := w.slot.class
	if !g.parts.admits(now, c, w.slot.at) {
		return
	}
	g.queues[c].remove(w)
	w.granted = true
	g.take(w.slot, now)
	close(w.ready)
}

// relieve gives slots to uploads that have waited for long, before anybody else: while there are always more readers
// than slots, none would be left for them, and close would wait for as long as readers go on. They get a small part of
// the limit.
func (g *Gate) relieve(now time.Duration) {
	for w := g.queues[ClassUpload].first; w != nil && now-w.since >= uploadPatience; {
		if g.inUse[ClassUpload] >= max(1, g.limit.limit/uploadPart) || g.total >= g.limit.limit {
			return
		}
		next := w.next
		g.start(w, now)
		w = next
	}
}

// grant gives the free slots to those who wait, the most urgent first. A class that may not start one keeps the ones
// after it from it too, since their ceilings are no higher; a waiter whose partition is full keeps nobody.
func (g *Gate) grant(now time.Duration) {
	defer g.armWake(now)
	g.relieve(now)
	for c := range g.queues {
		for w := g.queues[c].first; w != nil; {
			if !g.admits(now, Class(c)) {
				return
			}
			next := w.next
			g.start(w, now)
			w = next
		}
	}
}

// armWake sees to it that requests held back by a pause go on after it, even if no other request ends then.
func (g *Gate) armWake(now time.Duration) {
	until := g.limit.pausedUntil
	for _, p := range g.parts {
		if p.pausedUntil > now && (until <= now || p.pausedUntil < until) {
			until = p.pausedUntil
		}
	}
	waiting := 0
	for c := range g.queues {
		waiting += g.queues[c].length
	}
	if now >= until || waiting == 0 || g.wake != nil && g.wakeAt <= until {
		return
	}
	if g.wake != nil {
		g.wake.Stop()
	}
	g.wakeAt = until
	g.wake = time.AfterFunc(until-now, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.wakeAt == until {
			g.wake = nil
		}
		g.grant(time.Since(g.born))
	})
}

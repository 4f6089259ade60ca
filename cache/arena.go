package cache

import "math"

// slot is address space for one chunk: its bytes are contiguous, so that a read is one slice, while memory stands only
// behind the blocks that are committed.
type slot struct {
	mem       []byte    // chunkSize bytes
	committed blockMask // blocks that may have memory behind them; each is booked in the ledger
	held      blockMask // blocks the slot's owner uses
	owned     bool      // given out by acquire, not yet put back
	spareAt   int       // place in arena.spare, -1 when nothing is spare
}

// spare are the blocks that have memory which nobody uses.
func (s *slot) spare() blockMask { return s.committed &^ s.held }

// arena gives out slots and commits their blocks within the ledger's limit.
//
// Memory that is no longer held stays committed: the next owner of the slot gets it without the page faults (up to
// 0.5 s a GiB) that giving it back and touching it anew would cost. It goes back to the kernel when blocks are needed in another slot.
//
// INVARIANT: held is within committed; a slot nobody owns holds nothing.
// INVARIANT: a slot is in spare exactly when it has spare blocks, and in empty exactly when it is neither owned nor committed.
type arena struct {
	ledger      *ledger
	mem         []byte // address space not yet cut into slots
	decommit    func([]byte) error
	empty       []*slot
	spare       []*slot
	spareBlocks int // spare blocks of all slots
}

func newArena(l *ledger, b backing) *arena {
	return &arena{ledger: l, mem: b.mem, decommit: b.decommit}
}

// acquire gives a slot that holds the blocks want, or nil when the limit leaves no room for them.
func (a *arena) acquire(want blockMask) *slot {
	s := a.pick(want)
	if s == nil {
		return nil
	}
	s.owned = true
	if !a.hold(s, want) {
		a.put(s)
		return nil
	}
	return s
}

// pick chooses the free slot with the most committed blocks of want, and the fewest others.
func (a *arena) pick(want blockMask) *slot {
	var best *slot
	bestScore := math.MinInt
	for _, s := range a.spare {
		if s.owned || s.committed&want == 0 {
			continue
		}
		score := (s.committed&want).count()*2*blocksPerChunk - (s.committed &^ want).count()
		if score > bestScore {
			best, bestScore = s, score
		}
		if s.committed == want {
			break
		}
	}
	if best != nil {
		return best
	}
	if n := len(a.empty); n > 0 {
		s := a.empty[n-1]
		a.empty = a.empty[:n-1]
		return s
	}
	if len(a.mem) == 0 {
		return nil
	}
	s := &slot{mem: a.mem[:chunkSize:chunkSize], spareAt: -1}
	a.mem = a.mem[chunkSize:]
	return s
}

// hold adds want to the blocks that s holds. It changes nothing and returns false when the limit leaves no room.
func (a *arena) hold(s *slot, want blockMask) bool {
	before := s.held
	a.set(s, s.committed, before|want) // first, so that room is not made from what is wanted
	fresh := want &^ s.committed
	if !a.book(fresh.bytes()) {
		a.set(s, s.committed, before)
		return false
	}
	a.set(s, s.committed|fresh, s.held)
	return true
}

// drop ends the holding of blocks. Their memory stays committed.
func (a *arena) drop(s *slot, blocks blockMask) { a.set(s, s.committed, s.held&^blocks) }

// put takes back a slot that acquire gave, with all it holds.
func (a *arena) put(s *slot) {
	s.owned = false
	a.set(s, s.committed, 0)
	if s.committed == 0 {
		a.empty = append(a.empty, s)
	}
}

// book enters n bytes in the ledger, giving spare memory back to the kernel where that makes the room.
func (a *arena) book(n int64) bool {
	if a.ledger.room()+int64(a.spareBlocks)*blockSize < n {
		return false
	}
	for !a.ledger.take(n) {
		if !a.reclaim(n - a.ledger.room()) {
			return false
		}
	}
	return true
}

// reclaim gives at least n bytes of spare memory back to the kernel, as far as there are; false when there was none or the
// kernel refused (as it does for memory that is locked).
func (a *arena) reclaim(n int64) bool {
	given := int64(0)
	for given < n && len(a.spare) > 0 {
		s := a.spare[0]
		for run := range s.spare().runs() {
			run.hi = min(run.hi, run.lo+int(roundUp(n-given, blockSize)))
			if run.empty() {
				break
			}
			if a.decommit(s.mem[run.lo:run.hi]) != nil {
				return false
			}
			a.set(s, s.committed&^run.blocks(), s.held)
			a.ledger.give(int64(run.len()))
			given += int64(run.len())
		}
		if !s.owned && s.committed == 0 {
			a.empty = append(a.empty, s)
		}
	}
	return given > 0
}

// set changes what s has committed and holds, and keeps the list of spare slots right.
func (a *arena) set(s *slot, committed, held blockMask) {
	a.spareBlocks -= s.spare().count()
	s.committed, s.held = committed, held
	a.spareBlocks += s.spare().count()
	switch {
	case s.spare() != 0 && s.spareAt < 0:
		s.spareAt = len(a.spare)
		a.spare = append(a.spare, s)
	case s.spare() == 0 && s.spareAt >= 0:
		last := a.spare[len(a.spare)-1]
		a.spare[s.spareAt] = last
		last.spareAt = s.spareAt
		a.spare = a.spare[:len(a.spare)-1]
		s.spareAt = -1
	}
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

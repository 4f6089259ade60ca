package cache

import (
	"math"
	"math/bits"
)

// slotBlocks is the address space of a slot, in blocks: enough for a chunk wherever it starts up to home.
const slotBlocks = 2*blocksPerChunk - 1

// home is the place in its slot where the lowest block that a chunk asks for first is put, whichever block of the chunk
// it is. So memory that one chunk leaves behind is where the next one wants it: a block read at random costs no page
// fault when it takes the place of another, though they are different blocks of their chunks.
const home = blocksPerChunk - 1

// placeSet is a set of places in a slot, bit i for the block at i.
type placeSet uint32

func (p placeSet) count() int   { return bits.OnesCount32(uint32(p)) }
func (p placeSet) bytes() int64 { return int64(p.count()) * blockSize }

// slot is address space for one chunk: its bytes are contiguous, so that a read is one slice, while memory stands only
// behind the blocks that are committed.
type slot struct {
	area      []byte   // slotBlocks blocks
	start     int      // where the owner's chunk starts: its block b is at place start+b
	committed placeSet // places that may have memory behind them; each is booked in the ledger
	held      placeSet // places the owner uses
	owned     bool     // given out by acquire, not yet put back
	spareAt   int      // index in arena.spare, -1 when nothing is spare
}

// mem is the memory of the owner's chunk.
func (s *slot) mem() []byte {
	lo := s.start * blockSize
	return s.area[lo : lo+chunkSize : lo+chunkSize]
}

// places are where the owner's blocks m are.
func (s *slot) places(m blockMask) placeSet { return placeSet(m) << s.start }

// blocks are the blocks of its chunk the owner holds.
func (s *slot) blocks() blockMask { return blockMask(s.held >> s.start) }

// spare are the places that have memory which nobody uses.
func (s *slot) spare() placeSet { return s.committed &^ s.held }

// arena gives out slots and commits their blocks within the ledger's limit.
//
// Memory that is no longer held stays committed: the next owner of the slot gets it without the page faults (up to 0.5
// s a GiB) that giving it back and touching it anew would cost. It goes back to the kernel when blocks are needed in
// another slot.
//
// INVARIANT: held is within committed, and within the owner's chunk; a slot nobody owns holds nothing.
// INVARIANT: a slot is in spare exactly when it has spare blocks, and in empty exactly when it is neither owned nor
// committed.
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

// AddressSpaceFactor is how much address space a cache reserves for its memory: as much as its limit so many times.
const AddressSpaceFactor = slotBlocks

// addressSpace is how much an arena needs for a limit of so many bytes. Whoever owns a slot holds at least one block,
// so there are never more slots in use than blocks in the limit.
func addressSpace(limit int64) int { return int(limit / blockSize * slotBlocks * blockSize) }

// acquire gives a slot that holds the blocks want, of which there is at least one, or nil when the limit leaves no room
// for them.
func (a *arena) acquire(want blockMask) *slot {
	start := home - bits.TrailingZeros16(uint16(want))
	s := a.pick(placeSet(want) << start)
	if s == nil {
		return nil
	}
	s.owned, s.start = true, start
	if !a.hold(s, want) {
		a.put(s)
		return nil
	}
	return s
}

// pick chooses the free slot with the most committed places of want, and the fewest others.
func (a *arena) pick(want placeSet) *slot {
	var best *slot
	bestScore := math.MinInt
	for _, s := range a.spare {
		if s.owned || s.committed&want == 0 {
			continue
		}
		if s.committed == want {
			return s
		}
		score := (s.committed&want).count()*2*slotBlocks - (s.committed &^ want).count()
		if score > bestScore {
			best, bestScore = s, score
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
	const size = slotBlocks * blockSize
	s := &slot{area: a.mem[:size:size], spareAt: -1}
	a.mem = a.mem[size:]
	return s
}

// hold adds want to the blocks that s holds. It changes nothing and returns false when the limit leaves no room.
func (a *arena) hold(s *slot, want blockMask) bool {
	before := s.held
	a.set(s, s.committed, before|s.places(want)) // first, so that room is not made from what is wanted
	fresh := s.held &^ s.committed
	if !a.book(fresh.bytes()) {
		a.set(s, s.committed, before)
		return false
	}
	a.set(s, s.committed|fresh, s.held)
	return true
}

// drop ends the holding of blocks. Their memory stays committed.
func (a *arena) drop(s *slot, blocks blockMask) { a.set(s, s.committed, s.held&^s.places(blocks)) }

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

// reclaim gives at least n bytes of spare memory back to the kernel, as far as there are; false when there was none or
// the kernel refused (as it does for memory that is locked).
func (a *arena) reclaim(n int64) bool {
	given := int64(0)
	for given < n && len(a.spare) > 0 {
		s := a.spare[0]
		for s.spare() != 0 && given < n {
			run := firstRun(s.spare(), int((n-given+blockSize-1)/blockSize))
			lo := bits.TrailingZeros32(uint32(run)) * blockSize
			if a.decommit(s.area[lo:lo+int(run.bytes())]) != nil {
				return false
			}
			a.set(s, s.committed&^run, s.held)
			a.ledger.give(run.bytes())
			given += run.bytes()
		}
		if !s.owned && s.committed == 0 {
			a.empty = append(a.empty, s)
		}
	}
	return given > 0
}

// firstRun are the first neighbouring places of p, at most so many.
func firstRun(p placeSet, most int) placeSet {
	first := bits.TrailingZeros32(uint32(p))
	n := min(bits.TrailingZeros32(^uint32(p>>first)), most)
	return (1<<n - 1) << first
}

// set changes what s has committed and holds, and keeps the list of spare slots right.
func (a *arena) set(s *slot, committed, held placeSet) {
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

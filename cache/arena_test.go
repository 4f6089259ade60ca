package cache

import (
	"errors"
	"testing"
)

// arenaOf makes an arena with a limit of so many blocks, and counts the bytes it gives back to the kernel.
func arenaOf(blocks int64) (a *arena, decommitted *int, refuse *bool) {
	decommitted, refuse = new(int), new(bool)
	b := backing{
		mem: make([]byte, 4*slotBlocks*blockSize),
		decommit: func(b []byte) error {
			if *refuse {
				return errors.New("memory is locked")
			}
			*decommitted += len(b)
			return nil
		},
	}
	return newArena(&ledger{limit: blocks * blockSize}, b), decommitted, refuse
}

// A slot of the same shape as one that was put back costs no page: it is the same one, whichever blocks of the chunk
// are wanted.
func TestArenaReusesCommittedMemory(t *testing.T) {
	a, decommitted, _ := arenaOf(20)
	other := a.acquire(0b1111_0000)
	first := a.acquire(0b0000_0111)
	a.put(other)
	a.put(first)
	for _, want := range []blockMask{0b0000_0111, 0b0000_0101, 0b1110_0000, 0b111 << 13} {
		s := a.acquire(want)
		if s != first || s.blocks() != want || a.ledger.used != 7*blockSize || *decommitted != 0 {
			t.Errorf("%016b: %d bytes booked, %d given back", want, a.ledger.used, *decommitted)
		}
		a.put(s)
	}
}

// A chunk's blocks lie where they belong, whichever of them came first.
func TestArenaChunkIsContiguous(t *testing.T) {
	for _, first := range []blockMask{1, 1 << 7, 1 << 15} {
		a, _, _ := arenaOf(40)
		s := a.acquire(first)
		if !a.hold(s, allBlocks) || s.blocks() != allBlocks || len(s.mem()) != chunkSize || s.spare() != 0 {
			t.Errorf("after %016b: %016b held, %d bytes", first, s.blocks(), len(s.mem()))
		}
		a.drop(s, first)
		if s.blocks() != allBlocks&^first || s.spare() != s.places(first) {
			t.Errorf("after dropping %016b: %016b held", first, s.blocks())
		}
	}
}

// Spare memory goes back to the kernel when it is needed elsewhere, as little as will do, and not for what cannot be
// had anyway.
func TestArenaReclaims(t *testing.T) {
	a, decommitted, _ := arenaOf(20)
	mine, spare := a.acquire(allBlocks), a.acquire(0b1111)
	a.put(spare)
	if a.acquire(0b11111) != nil || *decommitted != 0 {
		t.Errorf("5 blocks where 4 can be had: %d bytes given back", *decommitted)
	}
	a.drop(mine, 0b111<<4)
	if a.acquire(0b1_1111) != spare || *decommitted != blockSize || a.ledger.used != 20*blockSize {
		t.Errorf("one block more than is spare here: %d bytes given back, %d booked", *decommitted, a.ledger.used)
	}
	if !a.hold(mine, 0b110<<4) || *decommitted != blockSize || a.hold(mine, 1<<4) {
		t.Errorf("blocks that were dropped, one of which is given back: %d bytes given back, %d booked", *decommitted, a.ledger.used)
	}
}

// Memory that the kernel does not take back stays booked.
func TestArenaKernelRefuses(t *testing.T) {
	a, _, refuse := arenaOf(15)
	mine := a.acquire(1)
	a.put(a.acquire(allBlocks >> 3))
	*refuse = true
	if a.hold(mine, 0b111) || a.ledger.used != 14*blockSize || a.spareBlocks != 13 {
		t.Errorf("%d bytes booked, %d blocks spare", a.ledger.used, a.spareBlocks)
	}
	*refuse = false
	if !a.hold(mine, 0b111) {
		t.Error("no room once the kernel takes memory back")
	}
}

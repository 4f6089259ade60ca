package cache

import (
	"errors"
	"testing"
)

// arenaOf makes an arena with a limit of so many blocks, and counts the bytes it gives back to the kernel.
func arenaOf(blocks int64) (a *arena, decommitted *int, refuse *bool) {
	decommitted, refuse = new(int), new(bool)
	b := backing{
		mem: make([]byte, 4*chunkSize),
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

// A slot of the same shape as one that was put back costs no page: it is the same one.
func TestArenaReusesCommittedMemory(t *testing.T) {
	a, decommitted, _ := arenaOf(20)
	other := a.acquire(0b1110_0000)
	first := a.acquire(0b0000_1111)
	a.put(other)
	a.put(first)
	if again := a.acquire(0b0000_1101); again != first || a.ledger.used != 7*blockSize || *decommitted != 0 {
		t.Errorf("%d bytes booked, %d given back", a.ledger.used, *decommitted)
	}
}

// Spare memory goes back to the kernel when it is needed elsewhere, as little as will do, and not for what cannot be had anyway.
func TestArenaReclaims(t *testing.T) {
	a, decommitted, _ := arenaOf(20)
	mine, spare := a.acquire(allBlocks), a.acquire(0b1111)
	a.put(spare)
	if a.acquire(0b11111<<8) != nil || *decommitted != 0 {
		t.Errorf("5 blocks where 4 can be had: %d bytes given back", *decommitted)
	}
	if a.acquire(0b11<<8) == nil || *decommitted != 2*blockSize || a.ledger.used != 20*blockSize {
		t.Errorf("2 blocks: %d bytes given back, %d booked", *decommitted, a.ledger.used)
	}
	a.drop(mine, 0b11<<4)
	if !a.hold(mine, 0b10<<4) || *decommitted != 2*blockSize {
		t.Errorf("a block that was dropped and is committed: %d bytes given back", *decommitted)
	}
}

// Memory that the kernel does not take back stays booked.
func TestArenaKernelRefuses(t *testing.T) {
	a, _, refuse := arenaOf(15)
	a.put(a.acquire(allBlocks >> 2))
	*refuse = true
	if a.acquire(0b11<<14) != nil || a.ledger.used != 14*blockSize || a.spareBlocks != 14 {
		t.Errorf("%d bytes booked, %d blocks spare", a.ledger.used, a.spareBlocks)
	}
	*refuse = false
	if a.acquire(0b11<<14) == nil {
		t.Error("no room once the kernel takes memory back")
	}
}

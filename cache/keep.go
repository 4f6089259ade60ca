package cache

import (
	"fmt"
	"os"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// The disk's units are ours: a chunk here is a chunk there.
var (
	_ [0]struct{} = [disk.ChunkSize - chunkSize]struct{}{}
	_ [0]struct{} = [disk.BlockSize - blockSize]struct{}{}
)

// receiveBoth brings blocks that are on the disk from there, and the runs between them from the store. What the disk
// turns out not to have, the store has.
func (c *Cache) receiveBoth(f *fill) error {
	if c.stall.lasts() {
		return c.download(f, f.end)
	}
	k := f.chunk
	aside := func() { c.setAside(f) }
	var hold disk.Held
	admitted := false
	inTime := c.stall.await(func() {
		hold = c.disk.Hold(k.object.version, k.index)
		admitted = hold != nil && c.disk.Admits(k.object.version, c.reader)
	}, aside)
	if hold != nil {
		defer hold.Release()
	}
	if !inTime {
		return errAside
	}
	if hold == nil {
		return c.download(f, f.end)
	}
	if !admitted {
		if err := c.admit(f); err != nil {
			return err
		}
	}
	here := hold.Blocks()
	for f.pos < f.end {
		block := f.pos / blockSize
		end := min((block+1)*blockSize, f.end)
		if here.Has(block) {
			var read bool
			if !c.stall.await(func() { read = hold.Read(k.mem[f.pos:end], f.pos) }, aside) {
				return errAside
			}
			if read {
				c.local(f, end)
				continue
			}
			here &^= 1 << block
		}
		for end < f.end && !here.Has(end/blockSize) {
			end = min(end+blockSize, f.end)
		}
		if err := c.download(f, end); err != nil {
			return err
		}
	}
	return nil
}

// admit makes sure that whose credentials we have may read a version that was found on the disk, where somebody else's
// may have brought it: the store is asked for a byte of it.
func (c *Cache) admit(f *fill) error {
	v := f.chunk.object.version
	body, err := c.source.Open(f.ctx, v, objstore.Range{Len: 1})
	if err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return fmt.Errorf("cache: asking for %v: %w", v, err)
	}
	c.disk.Admit(v, c.reader)
	return nil
}

// local moves the watermark after bytes from the disk.
func (c *Cache) local(f *fill, pos int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.local = true
	f.chunk.kept |= span{f.pos, pos}.blocks()
	f.chunk.local |= span{f.pos, pos}.blocks()
	c.stats.BytesLocal += int64(pos - f.pos)
	c.arrived(f, pos)
}

// keep offers the disk those blocks of k that are whole and that it does not have. They are pinned until they are
// written, so the disk bounds how many it takes; what it has no time for is offered again while it is still here.
func (c *Cache) keep(k *chunk) {
	if c.disk == nil || c.closed || k.length == 0 || k.aside.Load() || c.stall.lasts() {
		return
	}
	var whole blockMask
	for _, s := range k.present {
		first, last := (s.lo+blockSize-1)/blockSize*blockSize, s.hi/blockSize*blockSize
		if s.hi == k.length {
			last = s.hi
		}
		whole |= span{first, last}.blocks()
	}
	if whole &^= k.kept; whole == 0 || !c.wantsKept(k) {
		delete(c.unkept, k)
		return
	}
	k.pins.Add(1)
	taken := c.disk.Offer(&disk.Offer{
		Version: k.object.version, Chunk: k.index, Data: k.mem[:k.length], Blocks: disk.Blocks(whole), Reader: c.reader,
		Done: func() { c.keptOne(k) },
	})
	if !taken {
		k.pins.Add(-1)
		c.unkept[k] = struct{}{}
		return
	}
	k.kept |= whole
	delete(c.unkept, k)
}

// wantsKept tells whether the disk is to have a chunk.
func (c *Cache) wantsKept(k *chunk) bool {
	if k.fate == undecided {
		reason := c.keeper.decide(k.object.version, k.index)
		c.stats.Decided[reason] += int64(k.length)
		k.fate = toBeLeft
		if reason.keeps() {
			k.fate = toBeKept
		}
	}
	return k.fate == toBeKept
}

// Keep has all of v be kept on the disk, whatever the policy: what is in memory now, and the rest when it is fetched
// next.
func (c *Cache) Keep(v objstore.Version) {
	if c.disk == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeper.ask(v)
	if o := c.index.objects[v]; o != nil {
		for _, k := range o.all() {
			if k.fate == toBeLeft {
				k.fate = undecided
			}
			c.keep(k)
		}
	}
}

// keptOne ends the pin of an offer, and offers what was refused before.
func (c *Cache) keptOne(k *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.pins.Add(-1)
	for o := range c.unkept {
		if !c.disk.Idle() {
			break
		}
		c.keep(o)
	}
	c.settle(k)
	c.serveNext()
}

// Local tells whether some of v is on the disk, so that bytes of it may come without the store's being asked.
func (c *Cache) Local(v objstore.Version) bool { return c.onDisk(v) > 0 }

// onDisk is how many bytes of v the disk has and can be asked for.
func (c *Cache) onDisk(v objstore.Version) int64 {
	if c.disk == nil {
		return 0
	}
	n, _ := ask(&c.stall, func() int64 { return c.disk.Cached(v) }, func(int64) {})
	return n
}

// CameLocal tells whether the byte of v at an offset, which a Read has pinned, came from the disk, where it may have
// been brought since Local was asked: other mounts write there too.
func (c *Cache) CameLocal(v objstore.Version, off int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k := c.index.find(v, off/chunkSize)
	at := int(off % chunkSize)
	return k != nil && k.local&span{at, at + 1}.blocks() != 0
}

// Lease gives all of v in a local file, for a reader who needs nobody else to read it; ok is false when there is no
// such file, or not yet. release is called exactly once.
func (c *Cache) Lease(v objstore.Version) (file *os.File, release func(), ok bool) {
	if c.disk == nil {
		return nil, nil, false
	}
	lease, _ := ask(&c.stall, func() *disk.Lease {
		if !c.disk.Admits(v, c.reader) { // a read will ask for it
			return nil
		}
		return c.disk.Lease(v)
	}, func(late *disk.Lease) {
		if late != nil {
			late.Release()
		}
	})
	if lease == nil {
		return nil, nil, false
	}
	return lease.File(), lease.Release, true
}

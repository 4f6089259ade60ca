package cache

import (
	"container/list"
	"testing"
)

// check fails the test when an INVARIANT of the package does not hold.
func (c *Cache) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	ck := &checker{t: t, c: c, slots: make(map[*slot]bool), frames: make(map[*frame]int)}
	for v, o := range c.index.objects {
		if o.version != v || len(o.all()) == 0 {
			t.Errorf("object %v stands under %v with %d chunks", o.version, v, len(o.all()))
		}
		for _, k := range o.all() {
			ck.chunk(k)
		}
	}
	for k := range c.asides {
		ck.aside(k)
	}
	if ck.chunks != c.index.chunks {
		t.Errorf("the index counts %d chunks and has %d", c.index.chunks, ck.chunks)
	}
	if ck.held != c.stats.BytesHeld {
		t.Errorf("%d bytes are held, %d counted", ck.held, c.stats.BytesHeld)
	}
	if ck.fills != c.stats.Fills {
		t.Errorf("%d fills run, %d counted", ck.fills, c.stats.Fills)
	}
	ck.slab()
	ck.arena()
	ck.clock()
	ck.handover()
	if int(c.starving.Load()) != len(c.queue) {
		t.Errorf("%d readers starve, %d are queued", c.starving.Load(), len(c.queue))
	}
	for _, p := range c.predictions {
		for k := range p.chunks {
			if c.index.find(k.object.version, k.index) != k {
				t.Error("a prediction holds a chunk that is gone")
			}
		}
	}
}

// checker collects what the chunks say, to be compared with what the accounts say.
type checker struct {
	t      *testing.T
	c      *Cache
	chunks int
	held   int64 // bytes present
	fills  int64
	cost   int64          // bytes of records
	slots  map[*slot]bool // slots that chunks own
	frames map[*frame]int // cells that chunks own
}

// chunk checks one that is in the index.
func (ck *checker) chunk(k *chunk) {
	ck.chunks++
	all := ck.contents(k)
	if k.aside.Load() {
		ck.t.Error("a chunk that was set aside is in the index")
	}
	if !k.small() && k.slot.blocks() != all.blocks() {
		ck.t.Errorf("slot holds %016b, its chunk has %016b", k.slot.blocks(), all.blocks())
	}
	if k.weight != k.weightNow() || k.ring == nil || k.place.Value.(*chunk) != k {
		ck.t.Errorf("weight %d booked, %d real", k.weight, k.weightNow())
	}
}

// aside checks one that was set aside.
func (ck *checker) aside(k *chunk) {
	ck.contents(k)
	if !k.aside.Load() || k.ring != nil || k.spentAt != nil || len(k.claims) > 0 || ck.c.index.find(k.object.version, k.index) == k {
		ck.t.Error("a chunk that was set aside can be found")
	}
}

// contents checks what a chunk holds, and returns what of it is here or comes.
func (ck *checker) contents(k *chunk) spans {
	t := ck.t
	ck.cost += k.cost
	ck.held += int64(k.present.bytes())
	ck.fills += int64(len(k.fills))
	if len(k.present) == 0 && len(k.fills) == 0 && k.pins.Load() == 0 {
		t.Errorf("chunk %d of %s has nothing", k.index, k.object.version.Key)
	}
	if k.pins.Load() < 0 || k.pins.Load() < int32(len(k.waiters)) {
		t.Errorf("%d pins and %d waiters", k.pins.Load(), len(k.waiters))
	}
	all := append(spans{}, k.present...)
	checkSpans(t, all, k.length)
	sum := all.bytes()
	for _, f := range k.fills {
		if f.pos > f.end || f.pos < f.start {
			t.Errorf("watermark %d of a fill from %d to %d", f.pos, f.start, f.end)
		}
		sum += f.rest().len()
		all = all.add(f.rest())
	}
	if all.bytes() != sum {
		t.Errorf("fills and present bytes overlap: %v, %d bytes of %d", all, all.bytes(), sum)
	}
	for _, w := range k.waiters {
		if k.present.covers(w.span) || !all.covers(w.span) {
			t.Errorf("a waiter for %v: present %v, coming %v", w.span, k.present, all)
		}
	}
	ck.memory(k)
	var claimed blockMask
	for _, cl := range k.claims {
		claimed |= cl.asked
		if _, has := cl.prediction.chunks[k]; !has {
			t.Error("a claim that its prediction does not know")
		}
	}
	if unread := blockMask(k.unread.Load()); unread&^claimed != 0 || unread&^all.blocks() != 0 {
		t.Errorf("unread %016b, claimed %016b, coming %016b", unread, claimed, all.blocks())
	}
	return all
}

func (ck *checker) memory(k *chunk) {
	switch {
	case k.small():
		if k.frame == nil || k.slot != nil || k.frame.cells[k.cell] != k || len(k.mem) < k.length {
			ck.t.Errorf("a small chunk's cell is not its own")
			return
		}
		ck.frames[k.frame]++
	case k.slot == nil || ck.slots[k.slot] || len(k.mem) != k.length:
		ck.t.Errorf("a chunk's slot is not its own")
	default:
		ck.slots[k.slot] = true
		if !k.slot.owned {
			ck.t.Error("a chunk's slot is nobody's")
		}
	}
}

func (ck *checker) slab() {
	homes := make(map[*slot]blockMask)
	for f, n := range ck.frames {
		homes[f.slot] |= 1 << f.block
		free := 0
		for _, k := range f.cells {
			if k == nil {
				free++
			}
		}
		_, partial := ck.c.slab.partial[f.class][f]
		if f.used != n || len(f.cells)-free != n || partial != (free > 0) {
			ck.t.Errorf("frame: %d used, %d chunks, %d free, partial %v", f.used, n, free, partial)
		}
	}
	for class, partial := range ck.c.slab.partial {
		for f := range partial {
			if ck.frames[f] == 0 || f.class != class {
				ck.t.Errorf("a frame without chunks in class %d", class)
			}
		}
	}
	for base, blocks := range homes {
		if _, open := ck.c.slab.open[base]; base.blocks() != blocks || !base.owned || ck.slots[base] || open != (blocks != allBlocks) {
			ck.t.Errorf("slab's slot holds %016b, frames %016b, open %v", base.blocks(), blocks, open)
		}
		ck.slots[base] = true
	}
	for base := range ck.c.slab.open {
		if homes[base] == 0 {
			ck.t.Error("an open slot without frames")
		}
	}
}

func (ck *checker) arena() {
	t, a := ck.t, ck.c.arena
	seen := make(map[*slot]bool)
	for s := range ck.slots {
		seen[s] = true
	}
	spare := 0
	for i, s := range a.spare {
		seen[s] = true
		spare += s.spare().count()
		if s.spareAt != i || s.spare() == 0 {
			t.Errorf("spare slot %d thinks it is %d, with %016b", i, s.spareAt, s.spare())
		}
	}
	for _, s := range a.empty {
		if seen[s] || s.owned || s.committed != 0 {
			t.Error("an empty slot is in use")
		}
		seen[s] = true
	}
	committed := int64(0)
	for s := range seen {
		committed += s.committed.bytes()
		if s.held&^s.committed != 0 || s.places(s.blocks()) != s.held || s.owned != ck.slots[s] || !s.owned && s.held != 0 || (s.spareAt >= 0) != (s.spare() != 0) {
			t.Errorf("slot: committed %016b, held %016b, owned %v, spare at %d", s.committed, s.held, s.owned, s.spareAt)
		}
	}
	if spare != a.spareBlocks {
		t.Errorf("%d blocks spare, %d counted", spare, a.spareBlocks)
	}
	l := ck.c.ledger
	if l.used != committed+ck.cost || l.used > l.limit || l.peak > l.limit {
		t.Errorf("ledger: %d used, %d committed + %d records, peak %d, limit %d", l.used, committed, ck.cost, l.peak, l.limit)
	}
}

func (ck *checker) clock() {
	n := 0
	for _, r := range []*ring{&ck.c.clock.young, &ck.c.clock.old} {
		n += r.check(ck.t)
	}
	if n != ck.chunks {
		ck.t.Errorf("%d chunks in the rings, %d in the index", n, ck.chunks)
	}
}

// handover checks that those that go first know it and are in the index.
func (ck *checker) handover() {
	spent := 0
	for _, o := range ck.c.index.objects {
		for _, k := range o.all() {
			if k.spentAt != nil {
				spent++
			}
		}
	}
	h := &ck.c.handover
	if spent != h.spent.Len() {
		ck.t.Errorf("%d chunks think they go first, %d do", spent, h.spent.Len())
	}
	for e := h.spent.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*chunk); k.spentAt != e || ck.c.index.find(k.object.version, k.index) != k {
			ck.t.Errorf("chunk %d of %s goes first, and does not know or is gone", k.index, k.object.version.Key)
		}
	}
}

// check compares the ring's sum with its chunks, and returns how many they are.
func (r *ring) check(t *testing.T) int {
	t.Helper()
	sum := int64(0)
	for e := r.chunks.Front(); e != nil; e = e.Next() {
		k := e.Value.(*chunk)
		sum += k.weight
		if k.ring != r || k.place != (*list.Element)(e) {
			t.Error("a chunk does not know its ring")
		}
	}
	if sum != r.bytes {
		t.Errorf("ring weighs %d, its chunks %d", r.bytes, sum)
	}
	return r.chunks.Len()
}

// checkSpans fails the test when s is not a sorted set within length.
func checkSpans(t *testing.T, s spans, length int) {
	t.Helper()
	last := -1
	for _, e := range s {
		if e.lo <= last || e.hi <= e.lo || e.hi > length {
			t.Errorf("not a set of spans below %d: %v", length, s)
			return
		}
		last = e.hi
	}
}

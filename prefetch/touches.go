package prefetch

// touch is what is remembered of a chunk that was read outside of sequential lanes.
type touch struct {
	blocks    uint16 // which of its blocks were read
	lane      int64  // by whom last
	completed bool   // all of it was asked for
}

// touches remembers which chunks were read lately, in two generations of at most limit chunks each: when the newer is
// full it becomes the older, and what was in the older and not touched since is forgotten.
//
// INVARIANT: neither generation holds more than limit chunks, and no chunk is in both.
type touches struct {
	limit        int
	newer, older map[int64]touch
}

func newTouches(limit int) touches {
	return touches{limit: max(limit, 1), newer: make(map[int64]touch)}
}

// note remembers that lane read the given blocks of chunk. It tells whether the chunk was touched again: that another
// lane had read other blocks of it, and that it is not completed.
func (t *touches) note(chunk, lane int64, blocks uint16) (again bool) {
	old, known := t.take(chunk)
	again = known && old.lane != lane && blocks&^old.blocks != 0 && !old.completed
	t.put(chunk, touch{blocks: old.blocks | blocks, lane: lane, completed: old.completed})
	return again
}

// complete notes that all of the chunk was asked for.
func (t *touches) complete(chunk int64) { t.set(chunk, true) }

// missing notes that bytes of the chunk had to be asked for: if it was completed, it is so no more.
func (t *touches) missing(chunk int64) { t.set(chunk, false) }

func (t *touches) set(chunk int64, completed bool) {
	if old, known := t.take(chunk); known {
		old.completed = completed
		t.put(chunk, old)
	}
}

func (t *touches) take(chunk int64) (touch, bool) {
	for _, generation := range []map[int64]touch{t.newer, t.older} {
		if found, ok := generation[chunk]; ok {
			delete(generation, chunk)
			return found, true
		}
	}
	return touch{}, false
}

func (t *touches) put(chunk int64, what touch) {
	if len(t.newer) >= t.limit {
		t.older, t.newer = t.newer, make(map[int64]touch)
	}
	t.newer[chunk] = what
}

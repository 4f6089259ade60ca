package cache

// cellsPerFrame says into how many cells a frame of one block can be cut. The steps are close enough that an object
// wastes no more than a third of its cell, and a page.
var cellsPerFrame = [...]int{2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 85, 128, 256}

// largestCell is the size up to which a chunk lives in a cell: 64 files of 100 KiB must not cost 64 blocks.
const largestCell = blockSize / 2

// cellSize is the size of a cell of the class: whole pages, so that cells never share one.
func cellSize(class int) int { return blockSize / cellsPerFrame[class] &^ (pageSize - 1) }

// cellClass is the class with the smallest cells that hold length bytes; length is at most largestCell.
func cellClass(length int) int {
	class := len(cellsPerFrame) - 1
	for cellSize(class) < length {
		class--
	}
	return class
}

// frame is one block that is cut into cells of one class.
type frame struct {
	slot  *slot
	block int
	class int
	cells []*chunk // by cell, nil where it is free
	used  int
}

func (f *frame) cell(i int) []byte {
	lo, size := f.block*blockSize+i*cellSize(f.class), cellSize(f.class)
	return f.slot.mem()[lo : lo+size : lo+size]
}

// slab gives out cells for small chunks.
//
// INVARIANT: a frame has at least one used cell, and is in partial exactly when it has a free one.
// INVARIANT: a slot is in open exactly when it belongs to the slab and has a block that is not a frame.
type slab struct {
	arena   *arena
	partial [len(cellsPerFrame)]map[*frame]struct{}
	open    map[*slot]struct{}
}

func newSlab(a *arena) *slab {
	s := &slab{arena: a, open: make(map[*slot]struct{})}
	for class := range s.partial {
		s.partial[class] = make(map[*frame]struct{})
	}
	return s
}

// take gives k a cell, or returns false when the limit leaves no room for one.
func (s *slab) take(k *chunk) bool {
	class := cellClass(k.length)
	f := anyOf(s.partial[class])
	if f == nil {
		if f = s.cut(class); f == nil {
			return false
		}
		s.partial[class][f] = struct{}{}
	}
	for i, owner := range f.cells {
		if owner == nil {
			f.cells[i] = k
			k.frame, k.cell, k.mem = f, i, f.cell(i)
			break
		}
	}
	if f.used++; f.used == len(f.cells) {
		delete(s.partial[class], f)
	}
	return true
}

// cut makes a new frame, or returns nil when there is no room.
func (s *slab) cut(class int) *frame {
	base := anyOf(s.open)
	block := 0
	if base != nil {
		for base.blocks()>>block&1 == 1 {
			block++
		}
		if !s.arena.hold(base, 1<<block) {
			return nil
		}
	} else if base = s.arena.acquire(1); base == nil {
		return nil
	}
	s.sort(base)
	return &frame{slot: base, block: block, class: class, cells: make([]*chunk, cellsPerFrame[class])}
}

// put takes k's cell back, and the frame when it was the last one used.
func (s *slab) put(k *chunk) {
	f := k.frame
	f.cells[k.cell] = nil
	k.frame, k.mem = nil, nil
	f.used--
	if f.used > 0 {
		s.partial[f.class][f] = struct{}{}
		return
	}
	delete(s.partial[f.class], f)
	s.arena.drop(f.slot, 1<<f.block)
	s.sort(f.slot)
}

// sort keeps open right after base's frames have changed, and gives base back when it has none.
func (s *slab) sort(base *slot) {
	switch base.blocks() {
	case 0:
		delete(s.open, base)
		s.arena.put(base)
	case allBlocks:
		delete(s.open, base)
	default:
		s.open[base] = struct{}{}
	}
}

// anyOf is some element of the set, nil when it is empty.
func anyOf[T any](set map[*T]struct{}) *T {
	for e := range set {
		return e
	}
	return nil
}

package cache

import (
	"iter"
	"math/bits"

	"github.com/headrace/headrace/objstore"
)

// The units of the cache. A chunk is what one GET brings at most and what is evicted at once: stores want ranges of at
// least 15 MB. A block is the unit in which memory is committed and predictions are kept, and the least that a read
// asks for.
const (
	chunkSize      = 16 << 20
	blockSize      = 1 << 20
	blocksPerChunk = chunkSize / blockSize
	pageSize       = 4 << 10 // fills start at pages: the kernel asks for no less
)

// span is a run of bytes inside one chunk: [lo, hi).
type span struct{ lo, hi int }

func (s span) len() int             { return s.hi - s.lo }
func (s span) empty() bool          { return s.hi <= s.lo }
func (s span) overlaps(o span) bool { return s.lo < o.hi && o.lo < s.hi }

// intersect is what s and o share; empty when they share nothing.
func (s span) intersect(o span) span {
	lo, hi := max(s.lo, o.lo), min(s.hi, o.hi)
	return span{lo, max(lo, hi)}
}

// grow is s rounded outward to multiples of unit, cut at length.
func (s span) grow(unit, length int) span {
	return span{s.lo / unit * unit, min((s.hi+unit-1)/unit*unit, length)}
}

// blocks are the blocks of which s holds at least one byte.
func (s span) blocks() blockMask {
	if s.empty() {
		return 0
	}
	first, last := s.lo/blockSize, (s.hi-1)/blockSize
	return blockMask((uint32(1)<<(last+1) - 1) &^ (uint32(1)<<first - 1))
}

// blockMask is a set of blocks of one chunk, bit i for block i.
type blockMask uint16

func (m blockMask) count() int { return bits.OnesCount16(uint16(m)) }

const allBlocks blockMask = 1<<blocksPerChunk - 1

// spans is a set of bytes of one chunk: sorted, not empty, neither overlapping nor touching.
type spans []span

// covers tells whether every byte of w is in the set.
func (s spans) covers(w span) bool {
	if w.empty() {
		return true
	}
	for _, e := range s {
		if e.hi >= w.hi {
			return e.lo <= w.lo
		}
	}
	return false
}

// add puts w into the set and returns the set, which may use the same memory.
func (s spans) add(w span) spans {
	if w.empty() {
		return s
	}
	i := 0
	for i < len(s) && s[i].hi < w.lo {
		i++
	}
	j := i
	for j < len(s) && s[j].lo <= w.hi {
		w = span{min(w.lo, s[j].lo), max(w.hi, s[j].hi)}
		j++
	}
	if i == j {
		s = append(s, span{})
		copy(s[i+1:], s[i:])
		s[i] = w
		return s
	}
	s[i] = w
	return append(s[:i+1], s[j:]...)
}

// gaps are the parts of w that are not in the set, in order.
func (s spans) gaps(w span) []span {
	var missing []span
	for _, e := range s {
		if e.lo >= w.hi {
			break
		}
		if e.lo > w.lo {
			missing = append(missing, span{w.lo, e.lo})
		}
		w.lo = max(w.lo, e.hi)
	}
	if !w.empty() {
		missing = append(missing, w)
	}
	return missing
}

// reach is how many bytes of w, from its start on, are in the set without a gap.
func (s spans) reach(w span) int {
	for _, e := range s {
		if e.lo <= w.lo && w.lo < e.hi {
			return min(e.hi, w.hi) - w.lo
		}
	}
	return 0
}

// bytes is the size of the set.
func (s spans) bytes() int {
	n := 0
	for _, e := range s {
		n += e.len()
	}
	return n
}

// blocks are the blocks of which the set holds at least one byte.
func (s spans) blocks() blockMask {
	var m blockMask
	for _, e := range s {
		m |= e.blocks()
	}
	return m
}

// piece is the part of a range that lies in one chunk.
type piece struct {
	index int64 // of the chunk in its version
	span  span
}

// pieces yields the parts of r chunk by chunk, in order.
func pieces(r objstore.Range) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for off := r.Off; off < r.End(); {
			index := off / chunkSize
			start := index * chunkSize
			end := min(r.End(), start+chunkSize)
			if !yield(piece{index, span{int(off - start), int(end - start)}}) {
				return
			}
			off = end
		}
	}
}

// chunkLength is how many bytes the chunk at index has in v: less than a whole one only at the version's end.
func chunkLength(v objstore.Version, index int64) int {
	return int(min(chunkSize, v.Size-index*chunkSize))
}

package cache

import (
	"slices"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// reference is a set of bytes as plainly as it can be had.
type reference [256]bool

// FuzzSpans compares the set of spans with a reference after each addition: pairs of bytes are the spans added, the
// last one is asked about.
func FuzzSpans(f *testing.F) {
	f.Add([]byte{10, 20, 30, 40, 20, 30, 0, 255})
	f.Add([]byte{5, 6, 7, 8, 6, 7, 4, 9})
	f.Add([]byte{100, 100, 0, 1, 254, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		var set spans
		var ref reference
		for len(in) >= 2 {
			w := span{int(min(in[0], in[1])), int(max(in[0], in[1]))}
			in = in[2:]
			checkAgainst(t, set, &ref, w)
			set = set.add(w)
			for i := w.lo; i < w.hi; i++ {
				ref[i] = true
			}
			checkSpans(t, set, len(ref))
			checkAgainst(t, set, &ref, w)
		}
	})
}

// checkAgainst asks set all there is to ask about w.
func checkAgainst(t *testing.T, set spans, ref *reference, w span) {
	t.Helper()
	var gaps []span
	reach, covered, total := 0, true, 0
	for i, in := range ref {
		if in {
			total++
		}
		if i < w.lo || i >= w.hi {
			continue
		}
		switch {
		case in && covered:
			reach++
		case in:
		case len(gaps) > 0 && gaps[len(gaps)-1].hi == i:
			gaps[len(gaps)-1].hi++
		default:
			gaps = append(gaps, span{i, i + 1})
		}
		covered = covered && in
	}
	if got := set.gaps(w); !slices.Equal(got, gaps) {
		t.Errorf("%v.gaps(%v) = %v, want %v", set, w, got, gaps)
	}
	if got := set.covers(w); got != covered {
		t.Errorf("%v.covers(%v) = %v", set, w, got)
	}
	if got := set.reach(w); got != reach {
		t.Errorf("%v.reach(%v) = %d, want %d", set, w, got, reach)
	}
	if got := set.bytes(); got != total {
		t.Errorf("%v.bytes() = %d, want %d", set, got, total)
	}
}

// FuzzBlocks compares masks with a walk over the blocks.
func FuzzBlocks(f *testing.F) {
	f.Add(uint32(0), uint32(chunkSize))
	f.Add(uint32(blockSize-1), uint32(2))
	f.Fuzz(func(t *testing.T, lo, n uint32) {
		s := span{int(lo % chunkSize), 0}
		s.hi = min(s.lo+int(n%(chunkSize+1)), chunkSize)
		var want blockMask
		for b := range blocksPerChunk {
			if s.overlaps(span{b * blockSize, (b + 1) * blockSize}) && !s.empty() {
				want |= 1 << b
			}
		}
		if got := s.blocks(); got != want {
			t.Errorf("%v touches %016b, want %016b", s, got, want)
		}
		if g := s.grow(pageSize, chunkSize); !s.empty() && (g.lo > s.lo || g.hi < s.hi || g.lo%pageSize != 0 || g.hi%pageSize != 0) {
			t.Errorf("%v grown to %v", s, g)
		}
	})
}

// FuzzPieces puts the pieces of a range together again.
func FuzzPieces(f *testing.F) {
	f.Add(int64(chunkSize-1), int64(2))
	f.Add(int64(0), int64(5*chunkSize+1))
	f.Fuzz(func(t *testing.T, off, n int64) {
		r := objstore.Range{Off: off & (1<<40 - 1), Len: n & (1<<30 - 1)}
		at := r.Off
		for p := range pieces(r) {
			if p.index*chunkSize+int64(p.span.lo) != at || p.span.empty() || p.span.hi > chunkSize {
				t.Fatalf("%v: piece %v after offset %d", r, p, at)
			}
			at += int64(p.span.len())
		}
		if at != max(r.End(), r.Off) {
			t.Errorf("the pieces of %v end at %d", r, at)
		}
	})
}

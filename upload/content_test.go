package upload

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// A set of ranges is what a bitmap says.
func TestRanges(t *testing.T) {
	const seed, size = 1, 64
	rnd := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		var r ranges
		var bits [size]bool
		for range 30 {
			one := objstore.Range{Off: rnd.Int64N(size), Len: rnd.Int64N(12)}
			one = one.Intersect(objstore.Range{Len: size})
			add := rnd.IntN(2) == 0
			if add {
				r = r.add(one)
			} else {
				r = r.remove(one)
			}
			for i := one.Off; i < one.End(); i++ {
				bits[i] = add
			}
			if rnd.IntN(20) == 0 {
				cut := rnd.Int64N(size)
				r = r.cut(cut)
				clear(bits[cut:])
			}
			checkRanges(t, r, bits[:])
			asked := objstore.Range{Off: rnd.Int64N(size), Len: 1 + rnd.Int64N(8)}.Intersect(objstore.Range{Len: size})
			checkQuestions(t, r, bits[:], asked)
		}
	}
}

func checkRanges(t *testing.T, r ranges, bits []bool) {
	t.Helper()
	got := make([]bool, len(bits))
	last := int64(-1)
	for _, one := range r {
		if one.Empty() || one.Off <= last {
			t.Fatalf("%v is not in order, apart, and without empty ones", r)
		}
		last = one.End()
		for i := one.Off; i < one.End(); i++ {
			got[i] = true
		}
	}
	if !slices.Equal(got, bits) {
		t.Fatalf("%v is not %v", r, bits)
	}
}

func checkQuestions(t *testing.T, r ranges, bits []bool, asked objstore.Range) {
	t.Helper()
	has := 0
	for _, b := range bits[asked.Off:asked.End()] {
		if b {
			has++
		}
	}
	if got, want := r.covers(asked), has == int(asked.Len); got != want {
		t.Fatalf("%v covers %v: %v", r, asked, got)
	}
	if got, want := r.overlaps(asked), has > 0; got != want {
		t.Fatalf("%v overlaps %v: %v", r, asked, got)
	}
	missing := int64(0)
	for _, gap := range r.gaps(asked) {
		missing += gap.Len
		for i := gap.Off; i < gap.End(); i++ {
			if bits[i] {
				t.Fatalf("%v: %d is not missing of %v", r, i, asked)
			}
		}
	}
	if missing != asked.Len-int64(has) {
		t.Fatalf("%v: %d of %v are missing, and %d were found", r, asked.Len-int64(has), asked, missing)
	}
}

// Parts begin where the one before ends, are at least 50 MB, at most what the store takes, and hold 46 TiB.
func TestLayout(t *testing.T) {
	z := storeSizes
	for n := 1; n <= maxParts; n++ {
		r := z.at(n)
		if r.Len < 50_000_000 || r.Len > z.largest || n > 1 && (r.Len < z.at(n-1).Len || r.Off != z.at(n-1).End()) {
			t.Fatalf("part %d is %v", n, r)
		}
		for _, off := range []int64{r.Off, r.End() - 1} {
			if number := z.number(off); number != n {
				t.Fatalf("%d is in part %d", off, number)
			}
		}
	}
	if first := z.at(1); first.Off != 0 || first.Len != 64*mib {
		t.Errorf("the first part is %v", first)
	}
	if z.most() < 46<<40 {
		t.Errorf("%d bytes fit, which is less than 46 TiB", z.most())
	}
}

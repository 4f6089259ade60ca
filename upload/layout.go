package upload

import "github.com/headrace/headrace/objstore"

// Where the parts of an upload begin must be known before it is known how large it will be, since they are sent while it is written. So they grow
// with the file: of 64 MiB until that is a sixty-fourth of what is before them, and of that share from there on, in whole MiB, up to the
// largest that S3 takes. Of an object's at most 10,000 parts some 9,500 are then of 5 GiB, and all hold 46 TiB; an object of the 48.8 TiB that 10,000
// of the largest parts would hold cannot be begun with a part that is small enough to be sent early.
const (
	minPart   = 64 << 20
	maxPart   = 5 << 30
	partShare = 64
	partUnit  = 1 << 20
	maxParts  = 10_000

	// leastPart is what S3 takes as a part that is not the last.
	leastPart = 5 << 20
)

// partLen is how long the part is that begins at off.
func partLen(off int64) int64 {
	return min(max(off/partShare/partUnit*partUnit, minPart), maxPart)
}

// layout is where parts begin: that of number n at starts[n-1]. It is computed once.
var layout = func() (starts []int64) {
	off := int64(0)
	for range maxParts {
		starts = append(starts, off)
		off += partLen(off)
	}
	return append(starts, off)
}()

// largest is the most bytes that the layout holds.
func largest() int64 { return layout[maxParts] }

// partAt is the part that holds the byte at off, and its range.
func partAt(off int64) (number int, r objstore.Range) {
	lo, hi := 0, maxParts
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; layout[mid] <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + 1, objstore.Range{Off: layout[lo], Len: layout[lo+1] - layout[lo]}
}

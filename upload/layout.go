package upload

import (
	"sort"

	"github.com/headrace/headrace/objstore"
)

// sizes are what an upload is made of, in bytes.
type sizes struct {
	part    int64   // the first part; up to this, a file is stored with one request
	largest int64   // a part, at most
	unit    int64   // the lengths of parts are multiples of
	least   int64   // a part that is not the last
	copied  int64   // one request copies, so that several do at the same time
	starts  []int64 // where the parts of the layout begin: that of number n at starts[n-1], and the end of the last
}

const (
	maxParts  = 10_000 // S3's limit, as the sizes of parts are
	partShare = 64
)

// storeSizes are those for S3. Parts of at least 50 MB are what CoreWeave's store asks for.
//
// Where the parts of an upload begin must be known before it is known how large it will be, since they are sent while
// it is written. So they grow with the file: of 64 MiB until that is a sixty-fourth of what is before them, and of that
// share from there on, in whole MiB, up to the largest that S3 takes. Of an object's at most 10,000 parts some 9,500
// are then of 5 GiB, and all hold 46 TiB; an object of the 48.8 TiB that 10,000 of the largest parts would hold cannot
// be begun with a part that is small enough to be sent early.
var storeSizes = newSizes(sizes{part: 64 << 20, largest: 5 << 30, unit: 1 << 20, least: 5 << 20, copied: 1 << 30})

func newSizes(s sizes) *sizes {
	off := int64(0)
	for range maxParts {
		s.starts = append(s.starts, off)
		off += min(max(off/partShare/s.unit*s.unit, s.part), s.largest)
	}
	s.starts = append(s.starts, off)
	return &s
}

// most is the most bytes that the layout holds.
func (s *sizes) most() int64 { return s.starts[maxParts] }

// number is the part of the layout that holds the byte at off.
func (s *sizes) number(off int64) int {
	return sort.Search(maxParts, func(n int) bool { return s.starts[n] > off })
}

// at is where a part of the layout is.
func (s *sizes) at(number int) objstore.Range {
	return objstore.Range{Off: s.starts[number-1], Len: s.starts[number] - s.starts[number-1]}
}

package upload

import (
	"slices"
	"sort"

	"github.com/headrace/headrace/objstore"
)

// ranges is a set of bytes: ascending, apart, none empty. Methods may change the set they are called on; what they
// return is the set.
type ranges []objstore.Range

// from is the index of the first range that ends at off or after it.
func (r ranges) from(off int64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].End() >= off })
}

// add puts one into the set.
func (r ranges) add(one objstore.Range) ranges {
	if one.Empty() {
		return r
	}
	i := r.from(one.Off)
	j := i
	off, end := one.Off, one.End()
	for ; j < len(r) && r[j].Off <= one.End(); j++ {
		off, end = min(off, r[j].Off), max(end, r[j].End())
	}
	return slices.Replace(r, i, j, objstore.Range{Off: off, Len: end - off})
}

// remove takes one out of the set.
func (r ranges) remove(one objstore.Range) ranges {
	if one.Empty() {
		return r
	}
	i := r.from(one.Off)
	j := i
	var rest []objstore.Range
	for ; j < len(r) && r[j].Off < one.End(); j++ {
		if before := (objstore.Range{Off: r[j].Off, Len: one.Off - r[j].Off}); before.Len > 0 {
			rest = append(rest, before)
		}
		if after := (objstore.Range{Off: one.End(), Len: r[j].End() - one.End()}); after.Len > 0 {
			rest = append(rest, after)
		}
		if len(rest) == 0 && r[j].End() == one.Off { // it only touches
			rest = append(rest, r[j])
		}
	}
	return slices.Replace(r, i, j, rest...)
}

// cut is the set below size.
func (r ranges) cut(size int64) ranges {
	i := r.from(size)
	if i < len(r) && r[i].Off < size {
		r[i].Len = size - r[i].Off
		i++
	}
	return r[:i]
}

// covers tells whether all of one is in the set.
func (r ranges) covers(one objstore.Range) bool {
	if one.Empty() {
		return true
	}
	i := r.from(one.Off + 1)
	return i < len(r) && r[i].Off <= one.Off && r[i].End() >= one.End()
}

// overlaps tells whether any of one is in the set.
func (r ranges) overlaps(one objstore.Range) bool {
	i := r.from(one.Off + 1)
	return !one.Empty() && i < len(r) && r[i].Off < one.End()
}

// gaps are the parts of one that are not in the set.
func (r ranges) gaps(one objstore.Range) (missing []objstore.Range) {
	off := one.Off
	for i := r.from(one.Off + 1); i < len(r) && r[i].Off < one.End(); i++ {
		if r[i].Off > off {
			missing = append(missing, objstore.Range{Off: off, Len: r[i].Off - off})
		}
		off = r[i].End()
	}
	if off < one.End() {
		missing = append(missing, objstore.Range{Off: off, Len: one.End() - off})
	}
	return missing
}

// bytes is how many are in the set.
func (r ranges) bytes() (n int64) {
	for _, one := range r {
		n += one.Len
	}
	return n
}

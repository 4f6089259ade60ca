package journal

import "github.com/headrace/headrace/objstore"

// ranges is a set of bytes: ascending, apart, none empty.
type ranges []objstore.Range

// add is r and one more.
func (r ranges) add(one objstore.Range) ranges {
	if one.Empty() {
		return r
	}
	var result ranges
	placed := false
	for _, have := range r {
		switch {
		case have.End() < one.Off:
			result = append(result, have)
		case have.Off > one.End():
			if !placed {
				result, placed = append(result, one), true
			}
			result = append(result, have)
		default: // they touch
			off, end := min(have.Off, one.Off), max(have.End(), one.End())
			one = objstore.Range{Off: off, Len: end - off}
		}
	}
	if !placed {
		result = append(result, one)
	}
	return result
}

// remove is r without the bytes of one.
func (r ranges) remove(one objstore.Range) ranges {
	if one.Empty() {
		return r
	}
	var result ranges
	for _, have := range r {
		if !have.Overlaps(one) {
			result = append(result, have)
			continue
		}
		if have.Off < one.Off {
			result = append(result, objstore.Range{Off: have.Off, Len: one.Off - have.Off})
		}
		if have.End() > one.End() {
			result = append(result, objstore.Range{Off: one.End(), Len: have.End() - one.End()})
		}
	}
	return result
}

// cut is r below size.
func (r ranges) cut(size int64) ranges {
	var result ranges
	for _, have := range r {
		if kept := have.Intersect(objstore.Range{Len: size}); !kept.Empty() {
			result = append(result, kept)
		}
	}
	return result
}

// and is what is in both.
func (r ranges) and(other ranges) ranges {
	var result ranges
	for _, one := range other {
		for _, have := range r {
			result = result.add(have.Intersect(one))
		}
	}
	return result
}

package fs

import (
	"math"
	"slices"
)

// lock is one lock on a run of bytes: [first, last], both included, as the kernel has it.
type lock struct {
	node        *node // by which it was asked for
	first, last uint64
	exclusive   bool
	owner       uint64 // the kernel's, opaque
	pid         uint32 // for who asks what is in the way
}

// lockEnd is the last byte of a lock that goes to the end of the file, wherever that may move.
const lockEnd = math.MaxInt64

func (l lock) overlaps(o lock) bool { return l.first <= o.last && o.first <= l.last }

// lockSet is the locks of one kind on one path.
//
// INVARIANT: locks of one owner do not overlap; where locks of two owners do, both are shared, or a rename has brought
// them together.
type lockSet []lock

// conflict finds a lock of somebody else that is in the way of l.
func (s lockSet) conflict(l lock) (lock, bool) {
	for _, held := range s {
		if held.owner != l.owner && held.overlaps(l) && (held.exclusive || l.exclusive) {
			return held, true
		}
	}
	return lock{}, false
}

// unlock gives back what l.owner holds in l's range; a lock that reaches beyond keeps the rest.
func (s lockSet) unlock(l lock) lockSet {
	var kept lockSet
	for _, held := range s {
		if held.owner != l.owner || !held.overlaps(l) {
			kept = append(kept, held)
			continue
		}
		if held.first < l.first {
			before := held
			before.last = l.first - 1
			kept = append(kept, before)
		}
		if held.last > l.last {
			after := held
			after.first = l.last + 1
			kept = append(kept, after)
		}
	}
	return kept
}

// lock takes l, which must have no conflict, in place of what its owner holds in the range.
func (s lockSet) lock(l lock) lockSet { return append(s.unlock(l), l) }

// release gives back all that owner holds.
func (s lockSet) release(owner uint64) lockSet {
	return slices.DeleteFunc(s, func(l lock) bool { return l.owner == owner })
}

// check verifies the invariant.
func (s lockSet) check() bool {
	for i, a := range s {
		for _, b := range s[i+1:] {
			if a.overlaps(b) && (a.owner == b.owner || a.exclusive || b.exclusive) {
				return false
			}
		}
	}
	return true
}

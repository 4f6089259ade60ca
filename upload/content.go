package upload

import (
	"slices"

	"github.com/headrace/headrace/objstore"
)

// content is what a file holds: which bytes are in the staging file, and which are the base's. It is pure.
//
// INVARIANT: what is neither local nor released lies within the base, and within the file. INVARIANT: what differs from
// the base is local or released.
type content struct {
	base     objstore.Version // what the bytes that are not local are of; the zero value for nothing
	size     int64
	local    ranges // in the staging file, where holes are zeros
	released ranges // stored as parts, and no longer in the staging file
	changed  ranges // different from what is stored
	dirty    bool   // there is something to be stored

	changes int64 // how often it was changed
}

// newContent is what a file is before anything is written. One that begins as nothing is to be stored even so.
func newContent(base objstore.Version) content {
	return content{base: base, size: base.Size, dirty: base.ETag == ""}
}

// write notes that bytes were put into the staging file, and returns what is newly local, or newly differs from what is
// stored: what the log does not say yet.
func (c *content) write(r objstore.Range) (fresh objstore.Range) {
	c.dirty = true
	c.changes++
	if r.Off > c.size { // what is between reads as zeros
		r = objstore.Range{Off: c.size, Len: r.End() - c.size}
	}
	if r.Empty() {
		return r
	}
	fresh = r
	if c.local.covers(r) && c.changed.covers(r) {
		fresh = objstore.Range{}
	}
	c.local, c.changed = c.local.add(r), c.changed.add(r)
	c.size = max(c.size, r.End())
	return fresh
}

// fetched notes that bytes of the base were put into the staging file.
func (c *content) fetched(r objstore.Range) { c.local = c.local.add(r) }

// truncate changes the size.
func (c *content) truncate(size int64) {
	c.dirty = true
	c.changes++
	if size > c.size {
		c.write(objstore.Range{Off: c.size, Len: size - c.size})
		return
	}
	c.local, c.changed, c.released = c.local.cut(size), c.changed.cut(size), c.released.cut(size)
	c.size = size
}

// release notes that stored bytes were let go from the staging file.
func (c *content) release(r objstore.Range) {
	c.local, c.released = c.local.remove(r), c.released.add(r)
}

// stored notes that all of it is stored as v: that is what comes next is a change of.
func (c *content) stored(v objstore.Version) {
	c.base, c.changed, c.released, c.dirty = v, nil, nil, false
}

// piece is a run of bytes from one place.
type piece struct {
	objstore.Range
	local bool
}

// pieces are where the bytes of r are, in order; r lies within the file.
func (c *content) pieces(r objstore.Range) (all []piece) {
	for _, gap := range c.local.gaps(r) {
		all = append(all, piece{gap, false})
	}
	for i := c.local.from(r.Off + 1); i < len(c.local) && c.local[i].Off < r.End(); i++ {
		all = append(all, piece{c.local[i].Intersect(r), true})
	}
	slices.SortFunc(all, func(a, b piece) int { return int(min(max(a.Off-b.Off, -1), 1)) })
	return all
}

// clone is a copy that does not change any more.
func (c *content) clone() content {
	d := *c
	d.local, d.changed, d.released = slices.Clone(c.local), slices.Clone(c.changed), slices.Clone(c.released)
	return d
}

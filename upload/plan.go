package upload

import (
	"slices"

	"github.com/headrace/headrace/objstore"
)

// step is one part of an upload: sent before, copied from the base on the store's side, or to be sent.
type step struct {
	number int
	objstore.Range
	copied bool
	sent   *objstore.Part // the store has it
}

// planOf decides how content becomes an object: by one request when steps is nil, else by parts. sent are the parts
// that the store has, by their numbers in the layout.
func (z *sizes) planOf(c *content, sent map[int]objstore.Part) (steps []step) {
	switch {
	case len(sent) > 0 || len(c.released) > 0:
		return z.byLayout(c, sent)
	case c.size <= z.part:
		return nil
	case c.base.ETag == "" || !z.copies(c):
		return z.byLayout(c, nil)
	}
	return z.byChange(c)
}

// copies tells whether enough of the base is left to be copied.
func (z *sizes) copies(c *content) bool {
	for _, gap := range c.changed.gaps(objstore.Range{Len: min(c.size, c.base.Size)}) {
		if gap.Len >= z.least {
			return true
		}
	}
	return false
}

// byLayout goes by the layout's parts, since some are sent already: the rest is copied where nothing of it has changed.
func (z *sizes) byLayout(c *content, sent map[int]objstore.Part) (steps []step) {
	for off := int64(0); off < c.size; {
		number := z.number(off)
		r := z.at(number)
		r = r.Intersect(objstore.Range{Len: c.size})
		off = r.End()
		s := step{number: number, Range: r}
		if part, ok := sent[number]; ok {
			s.sent = &part
		} else {
			s.copied = c.base.ETag != "" && r.End() <= c.base.Size && !c.changed.overlaps(r) && (r.Len >= z.least || off == c.size)
		}
		if last := len(steps) - 1; s.copied && last >= 0 && steps[last].copied && steps[last].Len+s.Len <= z.copied {
			steps[last].Len += s.Len
			continue
		}
		steps = append(steps, s)
	}
	return steps
}

// byChange sends what has changed, with as much around it as makes a part, and has the rest copied.
func (z *sizes) byChange(c *content) (steps []step) {
	whole := objstore.Range{Len: c.size}
	var send ranges
	for _, r := range c.changed {
		send = send.add(r.Intersect(whole))
	}
	if c.size > c.base.Size {
		send = send.add(objstore.Range{Off: c.base.Size, Len: c.size - c.base.Size})
	}
	for changed := true; changed; {
		changed = false
		for _, r := range send {
			if r.Len < z.least && r.End() < c.size { // too short for a part: more of what follows
				send, changed = send.add(objstore.Range{Off: r.Off, Len: min(z.least, c.size-r.Off)}), true
				break
			}
		}
		for _, gap := range send.gaps(whole) {
			if gap.Len < z.least && gap.End() < c.size { // too short to be copied
				send, changed = send.add(gap), true
				break
			}
		}
	}
	for _, r := range send {
		steps = z.split(steps, r, false)
	}
	for _, gap := range send.gaps(whole) {
		steps = z.split(steps, gap, true)
	}
	if len(steps) > maxParts { // changes all over a huge file
		return z.byLayout(c, nil)
	}
	slices.SortFunc(steps, func(a, b step) int { return int(min(max(a.Off-b.Off, -1), 1)) })
	for i := range steps {
		steps[i].number = i + 1
	}
	return steps
}

// split adds r in parts that are not too large; a rest that is too short goes with the one before it.
func (z *sizes) split(steps []step, r objstore.Range, copied bool) []step {
	unit := z.part
	if copied {
		unit = z.copied
	}
	for !r.Empty() {
		n := min(r.Len, unit)
		if r.Len-n < z.least {
			n = r.Len
		}
		steps = append(steps, step{Range: objstore.Range{Off: r.Off, Len: n}, copied: copied})
		r.Off, r.Len = r.Off+n, r.Len-n
	}
	return steps
}

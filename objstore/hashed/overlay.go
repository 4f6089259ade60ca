package hashed

import (
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// change is what was written through this bucket and may be missing in a segment.
type change struct {
	entry   objstore.Entry // with the plain key
	removed bool
	at      time.Time // when the store had answered
}

// overlay are changes in the order of their keys. It never changes: with and since make another one.
type overlay []change

func (o overlay) find(key string) (int, bool) {
	return slices.BinarySearchFunc(o, key, func(c change, key string) int { return strings.Compare(c.entry.Key, key) })
}

// with is the overlay with one more change, which takes the place of an earlier one of its key.
func (o overlay) with(c change) overlay {
	i, found := o.find(c.entry.Key)
	if found {
		o = slices.Clone(o)
		o[i] = c
		return o
	}
	return slices.Insert(slices.Clone(o), i, c)
}

// since is what of it a listing may have missed that began at start: the store lists everything that it had answered
// before.
func (o overlay) since(start time.Time) overlay {
	return slices.DeleteFunc(slices.Clone(o), func(c change) bool { return c.at.Before(start) })
}

// merged is a segment with the changes in it.
func (o overlay) merged(s *segment) *segment {
	if len(o) == 0 {
		return s
	}
	var p packer
	w := walker{cursor: cursor{segment: s}, changes: o}
	for ok := w.seek(""); ok; ok = w.advance() {
		p.add(w.entry())
	}
	return p.done()
}

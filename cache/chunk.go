package cache

import (
	"slices"
	"sync/atomic"

	"github.com/headrace/headrace/objstore"
)

// chunk is what the cache holds of one chunk of one version. Unless a field says otherwise Cache.mu guards it: written
// under the lock, read under the read lock.
//
// INVARIANT: present and what its fills still bring share no byte, and both have memory behind them.
// INVARIANT: it is in the index and in one of the clock's rings, or was set aside; and has bytes, a fill or a pin.
// INVARIANT: a waiter's bytes are neither all present nor partly without a fill, and the waiter has a pin.
type chunk struct {
	// Constants.
	object *object
	index  int64 // in the version
	length int   // bytes the version has in this chunk
	cost   int64 // bytes of Go memory booked for the record

	standing
	keptBy

	// Where its bytes lie: in a slot of its own or, up to largestCell, in a cell. mem does not change while it is pinned.
	mem   []byte
	slot  *slot
	frame *frame
	cell  int

	present spans     // the bytes that are here
	fills   []*fill   // the GETs under way, those that are cancelled and not yet over included
	waiters []*waiter // readers whose bytes are not all here
	claims  []claim   // the predictions that asked for it

	kept  blockMask // blocks that the disk has, or was offered
	local blockMask // blocks that came from the disk
	fate  fate      // whether the disk is to have it

	unread atomic.Uint32 // blockMask: predicted, and nobody has read it yet; bits are set under the lock only
	handed atomic.Uint32 // blockMask: with their reader now, see handover; bits are set under the read lock
	aside  atomic.Bool   // not in the index any more, see stall; set under the lock, once
	pins   atomic.Int32  // reads under way; rises under the lock or the read lock only, falls without
}

// recordCost is what a chunk's record takes of the Go heap: about 800 bytes measured, more while the collector is
// behind. Were it not booked, a cache full of tiny objects would cost many times its limit.
const recordCost = 1 << 10

func newChunk(o *object, index int64) *chunk {
	return &chunk{
		object: o, index: index,
		length: chunkLength(o.version, index),
		cost:   recordCost + int64(len(o.version.Key)),
	}
}

// small tells whether the chunk lives in a cell.
func (k *chunk) small() bool { return k.length <= largestCell }

// coming are the bytes that are here or that some fill brings.
func (k *chunk) coming() spans {
	s := slices.Clone(k.present)
	for _, f := range k.fills {
		s = s.add(f.rest())
	}
	return s
}

// promised is like coming without what cancelled fills would have brought.
func (k *chunk) promised() spans {
	s := slices.Clone(k.present)
	for _, f := range k.fills {
		if !f.cancelled {
			s = s.add(f.rest())
		}
	}
	return s
}

// evictable tells whether the chunk may go: predicted bytes that nobody has read only as the last resort.
func (k *chunk) evictable(lastResort bool) bool {
	return k.pins.Load() == 0 && len(k.fills) == 0 && (lastResort || k.unread.Load() == 0)
}

// read notes that s was read. A block counts as read once a read gets past its middle: so the block that a sequential
// reader is in is kept for it, and a block read at random does not stay predicted for ever.
func (k *chunk) read(s span) {
	unread := blockMask(k.unread.Load())
	if unread == 0 {
		return
	}
	done := s.blocks()
	last := (s.hi - 1) / blockSize
	middle := last*blockSize + min(blockSize, k.length-last*blockSize)/2
	if s.hi <= middle {
		done &^= 1 << last
	}
	if unread&done != 0 {
		k.unread.And(^uint32(done))
	}
}

// wake tells the readers whose bytes are all here now.
func (k *chunk) wake() {
	k.waiters = slices.DeleteFunc(k.waiters, func(w *waiter) bool {
		if !k.present.covers(w.span) {
			return false
		}
		w.done <- nil
		return true
	})
}

// fail gives err to the readers who miss bytes of s.
func (k *chunk) fail(s span, err error) (told int) {
	k.waiters = slices.DeleteFunc(k.waiters, func(w *waiter) bool {
		if !w.span.overlaps(s) {
			return false
		}
		w.done <- err
		told++
		return true
	})
	return told
}

// fate is what was decided about a chunk, once for as long as it is in memory.
type fate int8

const (
	undecided fate = iota
	toBeKept
	toBeLeft
)

// object is a version of which the cache holds something.
type object struct {
	version objstore.Version
	chunks  map[int64]*chunk // nil where the version has but one chunk
	only    *chunk
}

func (o *object) chunk(index int64) *chunk {
	if o.chunks == nil {
		return o.only
	}
	return o.chunks[index]
}

// all are the object's chunks, in no order.
func (o *object) all() []*chunk {
	if o.chunks == nil {
		return []*chunk{o.only}
	}
	chunks := make([]*chunk, 0, len(o.chunks))
	for _, k := range o.chunks {
		chunks = append(chunks, k)
	}
	return chunks
}

// index finds chunks by version and place.
type index struct {
	objects map[objstore.Version]*object
	chunks  int
}

// find is the chunk, nil when there is none.
func (x *index) find(v objstore.Version, i int64) *chunk {
	if o := x.objects[v]; o != nil {
		return o.chunk(i)
	}
	return nil
}

// object is v's record; a new one is not in the index until its first chunk is.
func (x *index) object(v objstore.Version) *object {
	if o := x.objects[v]; o != nil {
		return o
	}
	o := &object{version: v}
	if v.Size > chunkSize {
		o.chunks = make(map[int64]*chunk)
	}
	return o
}

func (x *index) put(k *chunk) {
	x.objects[k.object.version] = k.object
	if k.object.chunks == nil {
		k.object.only = k
	} else {
		k.object.chunks[k.index] = k
	}
	x.chunks++
}

func (x *index) remove(k *chunk) {
	x.chunks--
	if k.object.chunks != nil {
		delete(k.object.chunks, k.index)
		if len(k.object.chunks) > 0 {
			return
		}
	}
	delete(x.objects, k.object.version)
}

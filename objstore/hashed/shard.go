package hashed

import "time"

// mergeAt is how many changes a shard has before they are put into its segment, so that the whole index has a few ten
// thousand of them.
const mergeAt = 512

// shard is what is known of the keys of one prefix of two hex digits. It is a value: no lock.
type shard struct {
	segment *segment  // nil before the first listing
	listed  time.Time // when the listing began that the segment is of
	changes overlay

	listing bool // a listing is under way, which may miss any of changes
}

// keys is how many keys are kept at most: what is written over may be counted twice.
func (s *shard) keys() int {
	n := len(s.changes)
	if s.segment != nil {
		n += s.segment.count
	}
	return n
}

// change takes over what was written. Where there is nothing yet, and nobody lists, the first listing will show it.
func (s *shard) change(c change) {
	if s.segment == nil && !s.listing {
		return
	}
	s.changes = s.changes.with(c)
	if s.segment != nil && !s.listing && len(s.changes) >= mergeAt {
		s.segment = s.changes.merged(s.segment)
		s.changes = nil
	}
}

// replace takes over a listing that began at start.
func (s *shard) replace(listed *segment, start time.Time) {
	s.segment, s.listed, s.changes = listed, start, s.changes.since(start)
}

// setListing notes that a listing begins or has ended.
func (s *shard) setListing(listing bool) {
	if s.listing = listing; !listing && s.segment == nil {
		s.changes = nil // the listing has failed, and a later one will show them
	}
}

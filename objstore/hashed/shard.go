package hashed

import (
	"time"

	"github.com/headrace/headrace/objstore"
)

// mergeAt is how many changes a shard has before they are put into its segment, so that the whole index has a few ten thousand of them.
const mergeAt = 512

// shard is what is known of the keys of one prefix of two hex digits. It is a value: no lock.
type shard struct {
	segment *segment  // nil before the first listing
	listed  time.Time // when the listing began that the segment is of
	changes overlay

	listing bool // a listing is under way, which may miss any of changes
}

// change takes over what was written.
func (s *shard) change(c change) {
	s.changes = s.changes.with(c)
	if s.segment != nil && !s.listing && len(s.changes) >= mergeAt {
		s.segment = s.changes.merged(s.segment)
		s.changes = nil
	}
}

// replace takes over a listing that began at start.
func (s *shard) replace(entries []objstore.Entry, start time.Time) {
	s.segment, s.listed, s.changes = newSegment(entries), start, s.changes.since(start)
}

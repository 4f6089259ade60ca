package objstore

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxPartitions is how many throttled ranges of keys are told apart. A store that throttles more of them is throttling
// everything.
const maxPartitions = 8

// place is where in the store a request goes.
type place struct{ bucket, key string }

// partition is the keys of a bucket that begin with a prefix, which the store throttles while it serves others.
type partition struct {
	bucket, prefix string

	limit       int // requests at once
	inUse       int
	full        bool          // somebody has had to wait for it since it last grew
	fell        time.Duration // when throttling last lowered the limit
	grew        time.Duration // when the limit last moved
	pausedUntil time.Duration // what the store asked for in Retry-After
}

func (p *partition) covers(at place) bool {
	return p.bucket == at.bucket && strings.HasPrefix(at.key, p.prefix)
}

// partitionTable is what is known of the store's partitions. Stores split their keys by prefix, at places nobody tells,
// and throttle each part by itself: the other parts should not pay for it. It is a pure state machine, which finds the
// parts by what is refused.
//
// A refusal makes a partition of the directory its key is in, with half of the requests that are under way there. When
// there are too many, the two that have the longest beginning in common become one with that beginning; so of keys that
// begin with a hash a few refusals make the first digits, and not thousands of directories. When they have none in
// common, it is the whole store that throttles. A partition's limit grows again with time, and it is forgotten when it
// holds nobody back.
//
// INVARIANT: at most maxPartitions; no key is in two.
// INVARIANT: limit >= 1.
type partitionTable []*partition

// find returns the partition of a place, nil where nothing is throttled.
func (t partitionTable) find(at place) *partition {
	for _, p := range t {
		if p.covers(at) {
			return p
		}
	}
	return nil
}

// open tells whether one more request of class c may start in the partition.
func (p *partition) open(now time.Duration, c Class) bool {
	return p.inUse < p.limit && (c < ClassPrefetch || now >= p.pausedUntil)
}

// admits tells whether a request of class c may start at a place, and notes that one had to wait if not.
func (t partitionTable) admits(now time.Duration, c Class, at place) bool {
	p := t.find(at)
	if p == nil {
		return true
	}
	p.full = p.full || p.inUse >= p.limit
	return p.open(now, c)
}

// throttled takes a refusal into account of a request that was sent at the time sent. It is false when the refusal is
// none of a part, but of the store. changed tells that keys belong to other partitions than before: then inUse must be
// counted anew, and the limits set by settle.
func (t *partitionTable) throttled(now, sent time.Duration, at place, retryAfter time.Duration) (local, changed bool) {
	p := t.find(at)
	if p == nil {
		prefix := at.key[:strings.LastIndexByte(at.key, '/')+1]
		if prefix == "" {
			return false, false
		}
		p = t.join(at.bucket, prefix, now)
		for p != nil && len(*t) > maxPartitions {
			p = t.joinClosest(now)
		}
		if p == nil {
			*t = nil
			return false, true
		}
		p, changed = t.find(at), true
	} else if sent > p.fell {
		p.fell, p.grew, p.limit = now, now, max(p.limit/2, 1)
	}
	if retryAfter > 0 {
		p.pausedUntil = max(p.pausedUntil, now+min(retryAfter, maxPause))
	}
	return true, changed
}

// join makes one partition of a prefix, in place of those inside of it.
func (t *partitionTable) join(bucket, prefix string, now time.Duration) *partition {
	joined := &partition{bucket: bucket, prefix: prefix, fell: now, grew: now}
	*t = slices.DeleteFunc(*t, func(p *partition) bool {
		inside := p.bucket == bucket && strings.HasPrefix(p.prefix, prefix)
		if inside {
			joined.limit += p.limit
			joined.pausedUntil = max(joined.pausedUntil, p.pausedUntil)
		}
		return inside
	})
	*t = append(*t, joined)
	return joined
}

// joinClosest joins the two whose prefixes begin alike for longest; nil when no two do.
func (t *partitionTable) joinClosest(now time.Duration) *partition {
	slices.SortFunc(*t, func(a, b *partition) int {
		return cmp.Or(strings.Compare(a.bucket, b.bucket), strings.Compare(a.prefix, b.prefix))
	})
	bucket, longest := "", ""
	for i, p := range (*t)[1:] { // those that begin alike stand side by side
		before := (*t)[i]
		if common := commonPrefix(before.prefix, p.prefix); before.bucket == p.bucket && len(common) > len(longest) {
			bucket, longest = p.bucket, common
		}
	}
	if longest == "" {
		return nil
	}
	return t.join(bucket, longest, now)
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// settle gives the partitions made just now their limits, when inUse is right: half of what is under way.
func (t partitionTable) settle(now time.Duration) {
	for _, p := range t {
		if p.fell == now {
			p.limit = max(p.limit, p.inUse/2, 1)
		}
	}
}

// grow raises limits with time, and forgets the partitions that hold nobody back: those whose limit has reached the
// store's own, and those that were not full for long. It tells whether any was forgotten.
func (t *partitionTable) grow(now time.Duration, limit int) (forgotten bool) {
	before := len(*t)
	*t = slices.DeleteFunc(*t, func(p *partition) bool {
		if p.full && now >= p.fell+throttleRest && now >= p.grew+windowTime {
			p.limit += max(1, p.limit/cautiousStep)
			p.grew, p.full = now, false
		}
		return p.limit >= limit && now >= p.fell+throttleRest || now >= p.grew+cautiousTime
	})
	return len(*t) < before
}

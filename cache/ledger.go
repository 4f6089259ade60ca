package cache

// ledger is the one account of all memory the cache holds: committed blocks of the arena, and what the records of the
// chunks cost on the Go heap.
//
// INVARIANT: 0 <= used <= limit, at every moment.
type ledger struct {
	limit int64 // bytes
	used  int64
	peak  int64 // the most that used has been
}

// take books n bytes, or nothing when they do not fit.
func (l *ledger) take(n int64) bool {
	if l.used+n > l.limit {
		return false
	}
	l.used += n
	l.peak = max(l.peak, l.used)
	return true
}

// give takes n bytes off the account.
func (l *ledger) give(n int64) { l.used -= n }

// room is what can still be taken.
func (l *ledger) room() int64 { return l.limit - l.used }

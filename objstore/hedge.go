package objstore

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"
)

// Hedger makes second requests for demand reads that take much longer than others have lately, over all the buckets it
// wraps: of two requests for the same bytes one is rarely slow when the other is. A daemon has one.
//
// It belongs around the [Gate], so that a second request needs a slot as any other, and inside of [NewRetry], so that
// it is no attempt: what a second request fails with is nobody's error. A wait counts from the moment the gate has let
// the request through, and ends with bytes: for the first ones, or, in a body that has stopped, for the next, which are
// then asked for from where the body has stopped. Whichever request brings bytes first is read on, and the other one is
// ended. A body that goes on slowly, byte by byte, is not hedged.
//
// Only what somebody waits for is hedged: requests of class demand, and those that have been raised to it since they
// were sent. Second requests are bounded by a budget, a share of all reads; see hedgePace.
type Hedger struct {
	mu    sync.Mutex // guards the fields below
	pace  hedgePace
	stats HedgeStats
}

// HedgeStats is what a hedger has counted.
type HedgeStats struct {
	Tries  uint64 // second requests sent
	Wins   uint64 // those that were faster than the first
	Denied uint64 // waits for which the budget had none
}

// NewHedger makes a hedger that sends at most budget second requests for each read: 0.02 is 2%.
func NewHedger(budget float64) *Hedger { return &Hedger{pace: hedgePace{budget: budget}} }

// Stats is a snapshot.
func (h *Hedger) Stats() HedgeStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stats
}

// Wrap makes a bucket whose reads h watches. b must be a gate's.
func (h *Hedger) Wrap(b Bucket) Bucket {
	asItIs := func(ctx context.Context, _ request, call func(context.Context) error) error { return call(ctx) }
	return &hedged{through: through{inner: b, do: asItIs}, hedger: h}
}

// hedged is a bucket whose reads are hedged.
type hedged struct {
	through
	hedger *Hedger
}

func (b *hedged) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	return b.inner.List(ctx, opts)
}

func (b *hedged) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return b.inner.ListUploads(ctx, prefix)
}

func (b *hedged) Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error) {
	read := &hedgedRead{hedger: b.hedger, from: b.inner, ctx: ctx, version: v, wanted: r}
	if err := read.open(); err != nil {
		read.Close()
		return nil, err
	}
	return read, nil
}

// judge decides whether a second request is made for a wait, and if not, when to ask next. late is the wait's own mark,
// set once somebody's wait is slow. wanted tells that somebody waits.
func (h *Hedger) judge(age time.Duration, inBody, wanted bool, late *bool) (hedge bool, again time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slow, known := h.pace.slow(inBody)
	switch {
	case !known:
		return false, hedgeUnknown
	case age < slow:
		return false, slow - age
	}
	if !wanted {
		return false, slow
	}
	if !*late {
		*late = true
		h.pace.late++
	}
	if !h.pace.take() {
		h.stats.Denied++
		return false, slow
	}
	return true, 0
}

// first is when to look at a wait that begins now.
func (h *Hedger) first(inBody bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slow, known := h.pace.slow(inBody); known {
		return slow
	}
	return hedgeUnknown
}

// earn counts a read that was sent.
func (h *Hedger) earn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.earn()
}

// lateEnded is told when a wait ends that judge has marked.
func (h *Hedger) lateEnded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.late--
}

// answered is told how long a read waited for its first byte. One that was overtaken has waited at least so long.
func (h *Hedger) answered(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.answers.add(took)
}

// finished is told the longest wait inside of a body that was read to its end.
func (h *Hedger) finished(longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pace.gaps.add(longest)
}

// raced is told what became of a second request. sent is zero when it never had a slot.
func (h *Hedger) raced(sent time.Time, answered, won bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sent.IsZero() {
		h.pace.giveBack()
		return
	}
	h.stats.Tries++
	if answered {
		h.pace.answers.add(time.Since(sent))
	}
	if won {
		h.stats.Wins++
	}
}

type sentKey struct{}

// whenSent has the gate call f once the request made with the returned context has its slot.
func whenSent(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, sentKey{}, f)
}

// tellSent is the gate's side of whenSent.
func tellSent(ctx context.Context) {
	if f, ok := ctx.Value(sentKey{}).(func()); ok {
		f()
	}
}

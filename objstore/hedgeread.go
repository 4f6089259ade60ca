package objstore

import (
	"context"
	"io"
	"sync"
	"time"
)

// leg is one GET of a read.
type leg struct {
	body   io.ReadCloser // nil until it is answered
	cancel context.CancelFunc
}

// end ends the GET, also under a call that waits for it.
func (l leg) end() error {
	l.cancel()
	if l.body == nil {
		return nil
	}
	return l.body.Close()
}

// hedgedRead is one range, read by the GET that brings its bytes, or by a second one that has overtaken it. Its reader
// waits in a call of the first one; a timer looks at the wait and runs the second, which ends the first one when it has
// an answer.
//
// INVARIANT: a second request is under way only while the reader waits, and begins with the byte that the reader waits
// for.
type hedgedRead struct {
	hedger  *Hedger
	from    Bucket
	ctx     context.Context // the request's: a read lives as long as the request it is the answer to
	version Version
	wanted  Range

	longest time.Duration // wait inside of the body; for the reading goroutine alone

	// LOCK ORDER: mu, then the hedger's.
	mu      sync.Mutex // guards the fields below
	current leg
	reached int64     // bytes of wanted delivered
	since   time.Time // when the wait under way began; zero: the reader does not wait
	inBody  bool      // it is for more, not for the first byte
	late    bool      // it is counted as slow
	timer   *time.Timer
	armed   bool
	second  context.CancelFunc // ends the second request under way; nil: there is none
	round   int                // counts second requests
	won     *leg               // of the second request that has overtaken, until the reader takes it
	closed  bool

	running sync.WaitGroup // second requests; Close waits for them
}

// open waits for the first byte.
func (r *hedgedRead) open() error {
	ctx, cancel := context.WithCancel(r.ctx)
	r.current.cancel = cancel
	body, err := r.from.Open(whenSent(ctx, r.sent), r.version, r.wanted)
	won, took := r.end(0)
	if won == nil && err != nil {
		return err
	}
	r.hedger.answered(took)
	if won != nil && body != nil {
		_ = body.Close()
	}
	if won == nil {
		won = &leg{body: body, cancel: cancel}
	}
	r.replace(*won)
	return nil
}

// sent is called when the gate has let the request through.
func (r *hedgedRead) sent() {
	r.hedger.earn()
	r.begin(false)
}

// Read delivers what the GET brings that is read on.
func (r *hedgedRead) Read(p []byte) (int, error) {
	for {
		body := r.begin(true)
		n, err := body.Read(p)
		won, took := r.end(n)
		r.longest = max(r.longest, took)
		if won == nil {
			if err == io.EOF {
				r.hedger.finished(r.longest)
			}
			return n, err
		}
		if !r.replace(*won) { // and what was read comes again from there
			return 0, errBodyClosed
		}
	}
}

// begin begins a wait, for a byte of the body that it returns.
func (r *hedgedRead) begin(inBody bool) io.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.inBody = time.Now(), inBody
	if !r.armed && !r.closed {
		r.arm(r.hedger.first(inBody))
	}
	return r.current.body
}

// end ends the wait that brought n bytes, unless another GET has overtaken it meanwhile, which is returned then. Before
// there was a wait, it does nothing.
func (r *hedgedRead) end(n int) (won *leg, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return nil, 0
	}
	took = time.Since(r.since)
	won, r.won, r.since = r.won, nil, time.Time{}
	if won == nil {
		r.reached += int64(n)
	}
	if r.second != nil {
		r.second()
		r.second = nil
	}
	if r.late {
		r.late = false
		r.hedger.lateEnded()
	}
	return won, took
}

// replace makes l the GET that is read; if the read was closed, it ends it.
func (r *hedgedRead) replace(l leg) bool {
	r.mu.Lock()
	if !r.closed {
		r.current = l
		r.mu.Unlock()
		return true
	}
	r.mu.Unlock()
	_ = l.end()
	return false
}

// arm has check run in a while. It is called with mu held.
func (r *hedgedRead) arm(d time.Duration) {
	r.armed = true
	if r.timer == nil {
		r.timer = time.AfterFunc(d, r.check)
		return
	}
	r.timer.Reset(d)
}

// check looks at the wait under way, and runs the second request if it is time.
func (r *hedgedRead) check() {
	r.mu.Lock()
	r.armed = false
	if r.closed || r.since.IsZero() || r.second != nil || r.won != nil {
		r.mu.Unlock()
		return
	}
	rest := Range{Off: r.wanted.Off + r.reached, Len: r.wanted.Len - r.reached}
	wanted := classOf(r.ctx, OpOpen) <= ClassDemand && !rest.Empty()
	hedge, again := r.hedger.judge(time.Since(r.since), r.inBody, wanted, &r.late)
	if !hedge {
		r.arm(again)
		r.mu.Unlock()
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.second = cancel
	r.round++
	round := r.round
	r.running.Add(1)
	r.mu.Unlock()
	defer r.running.Done()
	r.race(ctx, leg{cancel: cancel}, round, rest)
}

// race makes the second request. If its answer is here before the wait has ended, it overtakes.
func (r *hedgedRead) race(ctx context.Context, l leg, round int, rest Range) {
	var sent time.Time
	body, err := r.from.Open(whenSent(ctx, func() { sent = time.Now() }), r.version, rest)
	l.body = body
	r.mu.Lock()
	waits := r.second != nil && r.round == round && !r.closed
	won := waits && err == nil
	first := r.current
	if won {
		r.won = &l
	}
	if waits {
		r.second = nil
		r.arm(r.hedger.first(r.inBody)) // it may fail to bring more, or has failed at all
	}
	r.mu.Unlock()
	r.hedger.raced(sent, err == nil, won)
	if won {
		_ = first.end()
	} else {
		_ = l.end()
	}
}

// Close ends the GETs under way.
func (r *hedgedRead) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	legs := []leg{r.current}
	if r.won != nil {
		legs = append(legs, *r.won)
		r.won = nil
	}
	if r.second != nil {
		r.second()
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	var err error
	for _, l := range legs {
		err = l.end()
	}
	r.running.Wait()
	return err
}

package share

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

const (
	// maxErrands is how many wait at most: small objects, mostly.
	maxErrands = 4096
	// errandRunners is how many are under way at the same time. Each may have the memory of one chunk.
	errandRunners = 2
	// restAfterRefusal is for how long nothing is offered after the owner had no room: its queue is as long as its disk
	// needs seconds, at least.
	restAfterRefusal = 200 * time.Millisecond
	// offerAttempts bounds how long one offer is made, so that a disk which takes nothing costs little memory.
	offerAttempts = 25
)

// errand is what the owner is told behind the reader's back: an offer, or a request whose answer nobody waits for.
type errand struct {
	offer   *disk.Offer // nil for a request
	request request
}

// errands wait to be run.
type errands struct {
	limit  int64 // bytes of offers
	waits  atomic.Int64
	queue  chan errand
	resume atomic.Int64 // when to offer again, in nanoseconds since 1970

	mu     sync.RWMutex // guards closed; held by those who add
	closed bool
}

func newErrands(limit int64) errands {
	return errands{limit: limit, queue: make(chan errand, maxErrands)}
}

// add never waits: false when too much does already.
func (e *errands) add(one errand) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return false
	}
	n := one.bytes()
	if waits := e.waits.Add(n); waits <= e.limit || waits == n { // a chunk is taken also by a queue that is shorter
		select {
		case e.queue <- one:
			return true
		default:
		}
	}
	e.waits.Add(-n)
	return false
}

func (one errand) bytes() int64 {
	if one.offer == nil {
		return 0
	}
	return int64(len(one.offer.Data))
}

// done ends an errand. What an offer holds is free before it is counted so.
func (e *errands) done(one errand) {
	if one.offer != nil {
		one.offer.Done()
	}
	e.waits.Add(-one.bytes())
}

// close lets nobody add any more.
func (e *errands) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// idle tells whether there is room for what was refused before.
func (e *errands) idle() bool {
	return e.waits.Load() < max(e.limit/2, 1) && len(e.queue) < maxErrands/2 && time.Now().UnixNano() >= e.resume.Load()
}

// runErrands runs errands until the member is closed, and then gives up those that wait.
func (m *Member) runErrands() {
	for {
		select {
		case one := <-m.errands.queue:
			m.runErrand(one)
		case <-m.stop:
			for {
				select {
				case one := <-m.errands.queue:
					m.errands.done(one)
				default:
					return
				}
			}
		}
	}
}

// runErrand runs one with whoever is the owner now.
func (m *Member) runErrand(one errand) {
	p := m.place.Load()
	if one.offer == nil {
		if p != nil && p.owner != nil {
			_, _, _ = p.owner.ask(actDeadline, one.request, nil) // it is for the owner's good
		}
		m.errands.done(one)
		return
	}
	n := one.bytes()
	switch {
	case p != nil && p.tier != nil:
		own := *one.offer
		own.Done = func() { m.errands.done(one) }
		if p.tier.Offer(&own) {
			return
		}
	case p != nil && !m.offerPatiently(p.owner, one.offer):
		m.stats.skipped.Add(n)
	}
	m.errands.done(one)
}

// offerPatiently offers again what the owner has no room for now. Meanwhile nothing else is taken, as if the queue were
// ours. false when there was none for long.
func (m *Member) offerPatiently(owner *client, o *disk.Offer) bool {
	for range offerAttempts {
		if m.sendOffer(owner, o) {
			m.errands.resume.Store(0)
			return true
		}
		m.errands.resume.Store(time.Now().Add(restAfterRefusal).UnixNano())
		select {
		case <-time.After(restAfterRefusal):
		case <-owner.lost:
			return false
		case <-m.stop:
			return false
		}
	}
	return false
}

// sendOffer hands a copy of an offer to the owner: false when that has no room for it.
func (m *Member) sendOffer(owner *client, o *disk.Offer) bool {
	fd, err := unix.MemfdCreate("headrace", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(fd), "offer")
	defer closeFile(file)
	if err := file.Truncate(int64(len(o.Data))); err != nil {
		return false
	}
	for i := 0; i*disk.BlockSize < len(o.Data); i++ {
		at := i * disk.BlockSize
		if !o.Blocks.Has(i) {
			continue
		}
		if _, err := file.WriteAt(o.Data[at:min(at+disk.BlockSize, len(o.Data))], int64(at)); err != nil {
			return false
		}
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, offerSeals); err != nil {
		return false
	}
	q := request{Op: opOffer, Version: o.Version, Chunk: o.Chunk, Blocks: o.Blocks, Reader: o.Reader}
	a, _, err := owner.ask(actDeadline, q, file)
	return err == nil && a.Found
}

// Offer has blocks kept by the owner. It never waits: see disk.Tier.Offer.
func (m *Member) Offer(o *disk.Offer) bool {
	t, p := m.owned()
	switch {
	case t != nil:
		return t.Offer(o)
	case p != nil && time.Now().UnixNano() >= m.errands.resume.Load() && m.errands.add(errand{offer: o}):
		return true
	}
	m.stats.skipped.Add(int64(len(o.Data)))
	return false
}

// Idle tells whether there is room for what was refused before.
func (m *Member) Idle() bool {
	t, p := m.owned()
	if t != nil {
		return t.Idle()
	}
	return p != nil && m.errands.idle()
}

// Used counts a use of a chunk that did not come by here. It never waits.
func (m *Member) Used(v objstore.Version, chunk int64) {
	if t, p := m.owned(); t != nil {
		t.Used(v, chunk)
	} else if p != nil {
		m.errands.add(errand{request: request{Op: opUsed, Version: v, Chunk: chunk}}) // what is not told is not missed
	}
}

// Wanted has what is offered of a version be kept. It never waits: see disk.Tier.Wanted.
func (m *Member) Wanted(v objstore.Version) {
	if t, p := m.owned(); t != nil {
		t.Wanted(v)
	} else if p != nil {
		m.errands.add(errand{request: request{Op: opWanted, Version: v}})
	}
}

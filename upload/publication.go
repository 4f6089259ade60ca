package upload

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// publication is one attempt to store a file as it is, with all who wait for it.
type publication struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when entry and err are set
	acked  chan struct{} // closed when it is safe on the local disk, or done
	ack    sync.Once
	moved  atomic.Int64 // when bytes last went to the store, Unix nanoseconds
	bytes  atomic.Int64 // that went

	entry objstore.Entry
	err   error

	undecided bool // err is not final: see File.Rename
	mayRest   bool // for all who wait the local disk is enough; guarded by File.mu

	local atomic.Bool // it is safe on the local disk

	mu        sync.Mutex // guards what is below
	committed bool       // the store may make the object appear, whatever becomes of the request
	broken    bool       // it was broken off before that
	withdrawn bool       // its file was, while it was under way
}

// commit is called before the store gets the last of what makes the object appear; context.Canceled when that must not
// be any more.
func (p *publication) commit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return context.Canceled
	}
	p.committed = true
	return nil
}

// breakOff ends the publication if that can be done so that the object does not appear. A store that has all of a
// request may carry it out after the connection is gone, and after whatever is asked next: then only its answer tells
// how it ended, and that is waited for, for as long as ctx and the timeout let.
func (p *publication) breakOff(ctx context.Context, timeout time.Duration) {
	p.mu.Lock()
	p.broken, p.withdrawn = !p.committed, true
	committed := p.committed
	p.mu.Unlock()
	if committed {
		_ = p.wait(ctx, p.done, timeout)
	}
	p.cancel()
	<-p.done
}

func (p *publication) acknowledge() { p.ack.Do(func() { close(p.acked) }) }

// answer is what somebody is told who waited for it, or for the local disk only: then a failure of the store that came
// right afterwards is not theirs.
func (p *publication) answer(local bool) (objstore.Entry, error) {
	if local && p.local.Load() && !errors.Is(p.err, objstore.ErrChanged) && !errors.Is(p.err, objstore.ErrExists) {
		return p.entry, nil
	}
	return p.entry, p.err
}

// end tells all who wait that entry and err are set: first how it ended, or who waits for the local disk would take an
// error for a yes.
func (p *publication) end() {
	close(p.done)
	p.acknowledge()
}

// seen notes that bytes go to the store, or, less than zero, that they have to go once more.
func (p *publication) seen(n int64) {
	p.bytes.Add(n)
	if n <= 0 {
		return
	}
	p.moved.Store(time.Now().UnixNano())
}

// Publish stores what was written before the call, and returns what the key holds then. Who calls it while it is under
// way shares it. Nothing changed: the last result. ctx ends the waiting, never the storing; so does a time in which
// nothing moves (objstore.ErrTimeout). With [Config.WriteBack] it returns once all is safe on the local disk, with no
// entry.
//
// Errors: objstore.ErrChanged (ErrExists where the name had to be new) when somebody else has put something under the
// key; that is for good, and the data is kept for its owner. What else the store or the disk say; then storing is tried
// again.
func (f *File) Publish(ctx context.Context) (objstore.Entry, error) {
	return f.publish(ctx, f.uploads.cfg.WriteBack)
}

// Store is Publish, and waits until the store has it with [Config.WriteBack] too: for who is about to change the store
// by it.
func (f *File) Store(ctx context.Context) (objstore.Entry, error) { return f.publish(ctx, false) }

func (f *File) publish(ctx context.Context, local bool) (objstore.Entry, error) {
	for {
		p, e, wait, err := f.current(local)
		if wait != nil {
			if err := f.uploads.awaitMoves(ctx, wait); err != nil {
				return objstore.Entry{}, err
			}
			continue
		}
		if p == nil {
			return e, err
		}
		ended := p.done
		if local {
			ended = p.acked
		}
		if err := p.wait(ctx, ended, f.uploads.cfg.CloseTimeout); err != nil {
			return objstore.Entry{}, err
		}
		select {
		case <-p.done:
			if p.brokenOff() {
				continue
			}
			return p.answer(local)
		default:
			return objstore.Entry{}, nil
		}
	}
}

// brokenOff tells whether a publication ended because the file was withdrawn, or was refused what is not final: what
// becomes of the file is the answer then.
func (p *publication) brokenOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.undecided || p.withdrawn && errors.Is(p.err, context.Canceled)
}

// current is the publication that has what was written by now, begun when there is none; nil, and the last result, when
// there is nothing to be stored. Where it is not known yet what becomes of the file, or it is held, it is asked again
// after wait. local: it is enough that it is safe on the local disk.
func (f *File) current(local bool) (p *publication, last objstore.Entry, wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.lost != nil:
		return nil, objstore.Entry{}, nil, f.lost
	case f.withdrawn != nil && f.content.dirty:
		return nil, objstore.Entry{}, f.withdrawn, nil
	case f.publication != nil: // it keeps writers out until it ends, so it has all that was written
		f.publication.mayRest = f.publication.mayRest && local
		return f.publication, objstore.Entry{}, nil, nil
	case !f.content.dirty || f.discarded:
		return nil, f.last, nil, nil
	}
	if h := f.uploads.heldBy(f.target); h != nil {
		return nil, objstore.Entry{}, h.ended, nil
	}
	return f.beginLocked(local), objstore.Entry{}, nil, nil
}

// begin is current for whom it is enough that it goes on.
func (f *File) begin() { _, _, _, _ = f.current(false) }

// beginLocked begins a publication. The caller holds mu.
func (f *File) beginLocked(mayRest bool) *publication {
	f.retry.cancel()
	if !mayRest {
		f.resting.cancel()
	}
	ctx, cancel := context.WithCancel(f.uploads.life)
	p := &publication{cancel: cancel, done: make(chan struct{}), acked: make(chan struct{}), mayRest: mayRest}
	p.moved.Store(time.Now().UnixNano())
	f.publication = p
	if !f.uploads.start(func() { f.run(ctx, p) }) {
		f.publication = nil
		p.err = context.Canceled
		cancel()
		p.end()
	}
	return p
}

// run carries a publication out. It keeps writers out until all is told, so that who asks meanwhile is told of it too.
func (f *File) run(ctx context.Context, p *publication) {
	defer p.cancel()
	p.err = f.turn.hold(ctx)
	held := p.err == nil
	if held {
		p.err = f.save(p)
	}
	if p.err == nil && f.rests(p) {
		f.turn.release()
		p.end()
		f.goOn()
		return
	}
	if p.local.Load() {
		p.acknowledge()
	}
	if p.err == nil {
		p.entry, p.err = f.store(ctx, p)
		f.rememberUnanswered(p)
	}
	for !f.settle(p) {
		p.entry = f.describeAgain(ctx, p.entry)
	}
	f.mu.Lock()
	told := f.onStored
	f.mu.Unlock()
	if !p.undecided {
		told(p.entry, p.err)
	}
	f.mu.Lock()
	f.publication = nil
	f.mu.Unlock()
	if held {
		f.turn.release()
	}
	p.end()
	f.goOn()
}

// settle takes over how a publication ended. false, and nothing was done, where the object is to have other metadata by
// now.
func (f *File) settle(p *publication) bool {
	err := p.err
	f.mu.Lock()
	if err == nil && f.redescribed {
		f.redescribed = false
		f.mu.Unlock()
		return false
	}
	discarded, nothing, staging, id := f.discarded, false, f.staging, ""
	if staging != nil {
		id = staging.ID()
	}
	lost := errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrExists)
	switch {
	case err == nil:
		v := objstore.Version{
			Endpoint: f.target.Bucket.Endpoint(), Bucket: f.target.Bucket.Name(), Key: f.target.Key, ETag: p.entry.ETag, Size: p.entry.Size,
		}
		f.content.stored(v)
		f.target.Replaces, f.target.Exclusive, f.last = v, false, p.entry
		f.retry.reset()
		f.resting = rest{}
		f.doubtful, f.unanswered, f.failure = false, nil, nil
		f.abort() // of parts that were not needed after all
	case discarded:
		f.doubtful, f.failure = f.doubtful || !answered(err), err // should it be restored
	case lost && f.tentative:
		p.undecided, f.refused = true, err
		f.withdraw()
	case lost:
		f.lost = err
		nothing = f.target.Exclusive && f.content.size == 0 // a lock that somebody else has: there is nothing to keep
		f.discarded = nothing
	default:
		f.doubtful, f.failure = f.doubtful || !answered(err), err
		f.retryLater()
	}
	f.mu.Unlock()
	u := f.uploads
	switch {
	case err == nil:
		u.totals.stored.Add(1)
	case nothing:
		f.logFailure("log", f.note(journal.Discarded{}))
	case discarded, p.undecided, f.uploads.life.Err() != nil:
	case lost:
		u.totals.conflicts.Add(1)
		f.logFailure("log", f.note(journal.Conflict{Reason: err.Error()}))
		u.cfg.Log.Error("somebody else has put something under this name: what was written here is kept, see `headrace uploads`",
			"name", f.name(), "id", id, "error", err)
	default:
		u.totals.failures.Add(1)
		f.logFailure("log", f.note(journal.Failed{Reason: err.Error()}))
		u.cfg.Log.Warn("not stored yet: trying again", "name", f.name(), "id", id, "error", err)
	}
	return true
}

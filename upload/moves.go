package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

const (
	// movesAtOnce is how many objects of one rename are moved at the same time: what the gate begins with. It bounds them
	// from there on.
	movesAtOnce = 64
	// maxFailures ends a rename of which so many objects could not be moved: the rest would fail as well.
	maxFailures = 100
)

// mover renames: plans what is to be moved in the journal, carries it out, and finishes what a dead mount has begun.
// Whoever asked may stop waiting; the moving goes on until close.
type mover struct {
	journal *journal.Dir
	renamed func(from, to objstore.Version) // see Config
	log     *slog.Logger
	now     func() time.Time

	maxCopy, copyPart int64 // as the constants; smaller in tests

	ctx  context.Context // ends the moving
	stop context.CancelFunc

	mu       sync.Mutex // guards what follows, and that nothing begins after closed
	closed   bool
	active   map[string]struct{}         // the logs that are being worked on
	unsynced map[*journal.Moves]struct{} // of these, those of removals of which a loss of power may leave nothing
	running  sync.WaitGroup

	underWay atomic.Int64 // of running, those that somebody asked for
	moved    atomic.Int64 // when an object, or a part of one, last was, Unix nanoseconds

	replacing func(objstore.Version) bool // see Uploads.replacing
	remover   objstore.VersionRemover
}

func newMover(cfg Config) *mover {
	m := &mover{journal: cfg.Journal, renamed: cfg.Renamed, log: cfg.Log, now: cfg.Now, maxCopy: objstore.MaxCopy, copyPart: copyPart, active: make(map[string]struct{}), unsynced: make(map[*journal.Moves]struct{})}
	m.ctx, m.stop = context.WithCancel(objstore.WithTicket(context.Background(), objstore.NewTicket(objstore.ClassUpload)))
	return m
}

// close ends what is under way, which stays in the journal, and waits.
func (m *mover) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.running.Wait()
}

// detached runs f to its end whatever becomes of ctx, which ends the waiting only.
func detached[T any](ctx context.Context, m *mover, f func(ctx context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return none, context.Canceled
	}
	m.running.Add(1)
	m.underWay.Add(1)
	m.mu.Unlock()
	done := make(chan answer, 1)
	go func() {
		defer m.running.Done()
		defer m.underWay.Add(-1)
		value, err := f(m.ctx)
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// object moves src to key, under a condition on what key holds.
func (m *mover) object(ctx context.Context, b objstore.Bucket, src objstore.Version, key string, cond objstore.Condition) (objstore.Entry, error) {
	return detached(ctx, m, func(ctx context.Context) (objstore.Entry, error) {
		return m.moveObject(ctx, b, src, key, cond)
	})
}

// claim makes somebody the only one who works on a log, until it is released.
func (m *mover) claim(id string) (release func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.active[id]; taken {
		return nil, ErrBeingMoved
	}
	m.active[id] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.active, id)
	}, nil
}

func (m *mover) moveObject(ctx context.Context, b objstore.Bucket, src objstore.Version, key string, cond objstore.Condition) (objstore.Entry, error) {
	one := journal.Move{From: src.Key, To: key, ETag: src.ETag, Size: src.Size, Condition: cond}
	log, release, err := m.begin(b, src.Key, key)
	if err != nil {
		return objstore.Entry{}, err
	}
	defer release()
	if err := errors.Join(log.Plan([]journal.Move{one}), log.Listed()); err != nil {
		return objstore.Entry{}, errors.Join(err, log.Remove())
	}
	t := moveTask{mover: m, bucket: b, log: log, move: one}
	e, err := t.run(ctx)
	if err != nil && ctx.Err() != nil {
		return e, errors.Join(err, log.Close()) // the next mount finishes it
	}
	if err != nil && (e.Key != "" || t.unsettled) { // it is there under both names, or something else is left in the store
		return e, errors.Join(err, log.Unmoved(0, err.Error()), log.Stopped(), log.Close())
	}
	return e, errors.Join(err, log.Remove())
}

// begin makes the log of a rename, for the caller to work on.
func (m *mover) begin(b objstore.Bucket, from, to string) (log *journal.Moves, release func(), err error) {
	log, err = m.journal.BeginMoves(journal.MovesHead{Bucket: b.Name(), Endpoint: b.Endpoint(), From: from, To: to, Created: m.now()})
	if err != nil {
		return nil, nil, err
	}
	if release, err = m.claim(log.ID()); err != nil {
		return nil, nil, errors.Join(err, log.Remove())
	}
	return log, release, nil
}

// directory moves every key below one prefix to below another. listing ends it before anything is moved, as the end of
// the mount does.
func (m *mover) directory(ctx, listing context.Context, b objstore.Bucket, from, to string) (map[string]NewETag, error) {
	if strings.HasPrefix(to, from) {
		return nil, fmt.Errorf("%s below %s: %w", to, from, objstore.ErrInvalid)
	}
	return detached(ctx, m, func(ctx context.Context) (map[string]NewETag, error) {
		log, release, err := m.begin(b, from, to)
		if err != nil {
			return nil, err
		}
		defer release()
		planning, stop := context.WithCancel(listing)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		if err = plan(planning, b, log, from, to); err == nil {
			err = planning.Err()
		}
		if err != nil {
			return nil, errors.Join(err, log.Remove()) // nothing has been moved
		}
		return m.carryOut(ctx, b, log, false)
	})
}

// plan lists what is to be moved. A key that would be too long fails it.
func plan(ctx context.Context, b objstore.Bucket, log *journal.Moves, from, to string) error {
	longest := objstore.LongestKey(b)
	for page, err := range b.List(ctx, objstore.ListOptions{Prefix: from}) {
		if err != nil {
			return err
		}
		moves := make([]journal.Move, 0, len(page.Entries))
		for _, e := range page.Entries {
			one := journal.Move{From: e.Key, To: below(e.Key, from, to), ETag: e.ETag, Size: e.Size, Condition: objstore.Condition{IfNew: true}}
			if len(one.To) > longest {
				return fmt.Errorf("%s: %w", one.To, syscall.ENAMETOOLONG)
			}
			moves = append(moves, one)
		}
		if err := log.Plan(moves); err != nil {
			return err
		}
	}
	return log.Listed()
}

// carryOut makes the moves of a plan that are not made, and closes its log. again: some may have been made without a
// note.
func (m *mover) carryOut(ctx context.Context, b objstore.Bucket, log *journal.Moves, again bool) (map[string]NewETag, error) {
	var failed failures
	var etags newETags
	var g errgroup.Group
	g.SetLimit(movesAtOnce)
	for index, one := range log.Pending() {
		if ctx.Err() != nil || failed.tooMany() {
			break
		}
		g.Go(func() error {
			// Where the plan says that nothing was there, a marker of the same content may have been: renaming over an empty
			// directory.
			t := moveTask{mover: m, bucket: b, log: log, index: index, move: one, again: again || strings.HasSuffix(one.To, "/")}
			e, err := t.run(ctx)
			if err == nil {
				m.moved.Store(time.Now().UnixNano())
				etags.add(one, e)
				err = log.Moved(index)
			} else if ctx.Err() == nil {
				err = errors.Join(err, log.Unmoved(index, err.Error()))
			}
			failed.add(one.From, err)
			return nil
		})
	}
	_ = g.Wait() // they return none: see failed
	switch {
	case ctx.Err() != nil: // the next mount finishes it
		return nil, errors.Join(context.Cause(ctx), log.Close())
	case failed.count > 0:
		err := failed.err(log)
		m.log.Error("a directory is renamed in part", "id", log.ID(), "error", err)
		return nil, errors.Join(err, log.Stopped(), log.Close())
	}
	return etags.changed, log.Remove()
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// ErrStoreFirst is a rename of a file that nobody has closed, over one that was acknowledged by the local disk alone: a
// crash would leave neither, so that what is to be replaced is to be stored first, and then withdrawn anew.
var ErrStoreFirst = errors.New("what is to be replaced is to be stored first")

// Target is under which key the file will be stored, and in place of what.
func (f *File) Target() Target {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.target
}

// Retarget has what is not stored yet be stored under another key: the file was renamed. It waits for a publication
// under way, after which there may be nothing left to be stored: then it does nothing, and did is false. Parts that
// were sent for the old key are given up, since a multipart upload belongs to a key. EBUSY when some of these were let
// go from the disk: then the file is to be stored first. Attributes and metadata stay as they were, if t says nothing;
// whether the name must be new is for t to say.
func (f *File) Retarget(ctx context.Context, t Target) (did bool, err error) {
	_, did, err = f.retargetOver(ctx, t, nil, false)
	return did, err
}

// retargetOver is Retarget, in place of a file that was withdrawn, or nil: should the mount die before that is
// discarded, its log is not gone by. It returns the target that was. tentative: where that had an object, it is not
// final that the new one is refused.
func (f *File) retargetOver(ctx context.Context, t Target, over *File, tentative bool) (was Target, did bool, err error) {
	if err := f.quiet(ctx); err != nil {
		return was, false, err
	}
	if err := f.turn.hold(ctx); err != nil {
		return was, false, err
	}
	defer f.turn.release()
	f.mu.Lock()
	if !f.content.dirty || f.discarded && f.withdrawn == nil {
		f.mu.Unlock()
		return was, false, nil
	}
	if len(f.content.released) > 0 {
		f.mu.Unlock()
		return was, false, fmt.Errorf("upload: parts are stored and were let go from the disk: %w", syscall.EBUSY)
	}
	f.mu.Unlock()
	if f.leavesNothing(over) {
		return was, false, ErrStoreFirst
	}
	id := over.logged()
	if err := f.readyToReplace(id, t); err != nil {
		return was, false, err
	}
	f.mu.Lock()
	was = f.target
	if a := t.Attributes; a.ContentType == "" && len(a.Metadata) == 0 && a.StorageClass == "" {
		t.Attributes = was.Attributes
	}
	if t.Metadata == nil {
		t.Metadata = was.Metadata
	}
	f.abort()
	f.lost, f.tentative = nil, tentative && was.Replaces.ETag != ""
	f.retargetLocked(t)
	step := f.retargetStep()
	step.Over = id
	f.mu.Unlock()
	err = f.noteName(step)
	if err == nil && id != "" && f.uploads.cfg.WriteBack { // what it replaces was acknowledged, and is about to go
		err = f.staging.SyncLog()
	}
	return was, true, err
}

// leavesNothing tells whether a crash would leave neither the file, of which nobody was told that it is kept and which
// is not stored before its rename is done, nor what it replaces, which somebody was told of and only the local disk
// has. The caller holds the turnstile, and over was withdrawn: neither changes.
func (f *File) leavesNothing(over *File) bool {
	if over == nil || !over.Acknowledged() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.resting.acknowledged && f.target.Replaces.ETag == ""
}

// readyToReplace has the file be one that may take the place of the upload of a log, or of what the store has. With
// write-back, one that was acknowledged is stored after a loss of power, as it was synced last, but for what was cut
// off since: it is synced as it is, or what it replaces would be gone for what no program has written. The caller holds
// the turnstile.
func (f *File) readyToReplace(id string, t Target) error {
	f.mu.Lock()
	due := f.uploads.cfg.WriteBack && f.resting.acknowledged && (id != "" || t.Replaces.ETag != "")
	f.mu.Unlock()
	if due {
		return f.saveHeld()
	}
	if id != "" { // it must be in a log that there is
		_, err := f.stageHeld()
		return err
	}
	return nil
}

// logged is the id of a file's log; empty for none.
func (f *File) logged() string {
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.staging == nil {
		return ""
	}
	return f.staging.ID()
}

// to is the target with another key.
func (t Target) to(key string) Target {
	t.Key = key
	return t
}

// retargetLocked changes where the file is to be stored. The caller holds mu.
func (f *File) retargetLocked(t Target) {
	f.target, f.resting.saved = t, false
	f.uploads.relist(f, t.Key)
}

// retargetStep is the target for the log. The caller holds mu.
func (f *File) retargetStep() journal.Retarget {
	t := f.target
	return journal.Retarget{Key: t.Key, Replaces: t.Replaces, Exclusive: t.Exclusive, Attributes: t.Attributes}
}

// Rename has what is not stored yet be stored under another key, in place of a file that was withdrawn, or nil. Where
// the old key has an object, of which the content may be a change, it is stored before this returns, and left is that
// object, or what an attempt of which nobody heard the answer has put there: it is for the caller to remove. When that
// fails, or ctx ends, all is as it was; did may be true even so, when it could not be undone. did is false, and nothing
// was done, when there is nothing to be stored. While it is under way, it is not final that the new key holds something
// else than t says, and who publishes the file is told only of what it comes to. life ends the undoing. Errors as
// Retarget and Publish, and ErrStoreFirst: nothing was done.
func (f *File) Rename(ctx, life context.Context, t Target, over *File) (left objstore.Version, did bool, err error) {
	defer f.settleRefusal()
	stray, err := f.stray(ctx)
	if err != nil {
		return objstore.Version{}, false, err
	}
	was, did, err := f.retargetOver(ctx, t, over, true)
	if err == nil && !did {
		return objstore.Version{}, false, nil
	}
	if err == nil && was.Replaces.ETag == "" {
		f.endRest() // it has its name
		return stray, true, nil
	}
	if err == nil {
		// What is not local of it is in the old object: that stays until the new one is there.
		if err = f.storeOnce(ctx); err == nil && stray.ETag != "" {
			return stray, true, nil
		} else if err == nil {
			return was.Replaces, true, nil
		}
	} else if !did {
		return objstore.Version{}, false, err
	}
	f.Withdraw(life) // who asked may have been killed: it must not be stored under the new key after this
	_, back, failure := f.retargetOver(context.WithoutCancel(ctx), was, nil, false)
	if f.uploads.cfg.WriteBack && over.logged() != "" { // that it takes its place may be on the disk
		failure = errors.Join(failure, f.syncName())
	}
	f.Restore()
	switch {
	case back:
		return objstore.Version{}, false, errors.Join(err, failure)
	case failure != nil:
		return objstore.Version{}, true, errors.Join(err, failure)
	}
	return was.Replaces, true, nil // it was stored after all
}

// settleRefusal ends that a refusal is not final.
func (f *File) settleRefusal() {
	f.mu.Lock()
	f.tentative = false
	refused := f.refused
	f.mu.Unlock()
	if refused != nil { // it is tried once more, and then is
		f.Restore()
		f.begin()
	}
}

func (f *File) refusal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// storeOnce waits for one attempt to store what was written by now.
func (f *File) storeOnce(ctx context.Context) error {
	for {
		p, _, wait, err := f.current(false)
		switch refused := f.refusal(); {
		case refused != nil: // by an attempt that was under way already
			return refused
		case wait != nil:
			if err := f.uploads.awaitMoves(ctx, wait); err != nil {
				return err
			}
			continue
		case p == nil:
			return err
		}
		if err := p.wait(ctx, p.done, f.uploads.cfg.CloseTimeout); err != nil {
			return err
		}
		return p.err
	}
}

// Withdraw has nothing of the file be stored until Restore or Discard: something else is to have its name. A
// publication under way is broken off, or waited for where the store has all of it, as long as ctx lets; appeared tells
// that there was one, or one of which nobody heard the answer, so that the object may have come to be. What was written
// is read until then, and who publishes it waits for what becomes of it. A crash before Discard undoes it.
func (f *File) Withdraw(ctx context.Context) (appeared bool) {
	f.mu.Lock()
	p, doubtful := f.publication, f.doubtful && f.withdrawn == nil // who asks again has been told
	f.withdraw()
	f.mu.Unlock()
	if p != nil {
		p.breakOff(ctx, f.uploads.cfg.CloseTimeout)
	}
	return p != nil || doubtful
}

// withdraw has nothing begin any more, until it is decided. The caller holds mu.
func (f *File) withdraw() {
	f.discarded = true
	if f.withdrawn == nil {
		f.withdrawn = make(chan struct{})
	}
	f.retry.cancel()
	f.resting.cancel()
}

// Restore undoes Withdraw: what is closed, or was to be stored, is.
func (f *File) Restore() {
	f.mu.Lock()
	f.discarded, f.refused = false, nil
	f.decide()
	f.mu.Unlock()
	f.goOnIfDue()
}

// decide ends that a file is withdrawn. The caller holds mu.
func (f *File) decide() {
	if f.withdrawn != nil {
		close(f.withdrawn)
		f.withdrawn = nil
	}
}

// Discard says that the file was removed: nothing of it is stored any more. It waits for a publication under way to
// end, as Withdraw does. What is local can be read until Close.
func (f *File) Discard(ctx context.Context) (appeared bool) {
	appeared = f.Withdraw(ctx)
	f.mu.Lock()
	f.decide()
	f.abort()
	f.mu.Unlock()
	f.logFailure("log", ignoreClosed(f.noteName(journal.Discarded{})))
	f.finish()
	return appeared
}

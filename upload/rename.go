package upload

import (
	"context"
	"fmt"
	"syscall"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// Retarget has what is not stored yet be stored under another key: the file was renamed. It waits for a publication under way, after which there may be
// nothing left to be stored: then it does nothing, and did is false. Parts that were sent for the old key are given up, since a multipart upload
// belongs to a key. EBUSY when some of these were let go from the disk: then the file is to be stored first. Attributes and metadata stay as
// they were, if t says nothing; whether the name must be new is for t to say.
func (f *File) Retarget(ctx context.Context, t Target) (did bool, err error) {
	if err := f.turn.hold(ctx); err != nil {
		return false, err
	}
	defer f.turn.release()
	f.mu.Lock()
	if !f.content.dirty || f.discarded && f.withdrawn == nil {
		f.mu.Unlock()
		return false, nil
	}
	if len(f.content.released) > 0 {
		f.mu.Unlock()
		return false, fmt.Errorf("upload: parts are stored and were let go from the disk: %w", syscall.EBUSY)
	}
	if a := t.Attributes; a.ContentType == "" && len(a.Metadata) == 0 && a.StorageClass == "" {
		t.Attributes = f.target.Attributes
	}
	if t.Metadata == nil {
		t.Metadata = f.target.Metadata
	}
	f.abort()
	f.target, f.lost = t, nil
	f.mu.Unlock()
	return true, f.note(journal.Retarget{Key: t.Key, Replaces: t.Replaces, Exclusive: t.Exclusive, Attributes: t.Attributes})
}

// MoveStored has do move what is stored of the file, while nobody writes to it, and goes by what do returns from then on. did is false when something is to be stored: then
// nothing was done.
func (f *File) MoveStored(ctx context.Context, do func() (objstore.Version, error)) (did bool, err error) {
	if err := f.turn.hold(ctx); err != nil {
		return false, err
	}
	defer f.turn.release()
	if f.Changed() {
		return false, nil
	}
	v, err := do()
	if err != nil {
		return false, err
	}
	f.Moved(v)
	return true, nil
}

// Moved says that what was stored of the file is stored as v now, and that it goes by v's key.
func (f *File) Moved(v objstore.Version) {
	f.mu.Lock()
	f.abort()
	f.target.Key, f.target.Replaces = v.Key, objstore.Version{}
	if v.ETag != "" {
		f.target.Replaces = v
		if f.content.base.ETag != "" {
			f.content.base = v
		}
	}
	t := f.target
	f.mu.Unlock()
	f.logFailure("log", ignoreClosed(f.note(journal.Retarget{Key: t.Key, Replaces: t.Replaces, Exclusive: t.Exclusive, Attributes: t.Attributes})))
}

// Withdraw has nothing of the file be stored until Restore or Discard: something else is to have its name. A publication under way is broken off, or waited for where the store has
// all of it, as long as ctx lets; appeared tells whether there was one, so that the object may have come to be. What was written is read until then, and who publishes it waits for what becomes of it.
// A crash before Discard undoes it.
func (f *File) Withdraw(ctx context.Context) (appeared bool) {
	f.mu.Lock()
	f.discarded = true
	if f.withdrawn == nil {
		f.withdrawn = make(chan struct{})
	}
	f.retry.cancel()
	p := f.publication
	f.mu.Unlock()
	if p != nil {
		p.breakOff(ctx)
	}
	return p != nil
}

// Restore undoes Withdraw: what is closed, or was to be stored, is.
func (f *File) Restore() {
	f.mu.Lock()
	f.discarded = false
	f.decide()
	due := f.content.dirty && f.lost == nil && (f.closed || f.doubtful || f.failure != nil)
	f.mu.Unlock()
	if due {
		f.begin()
	}
}

// decide ends that a file is withdrawn. The caller holds mu.
func (f *File) decide() {
	if f.withdrawn != nil {
		close(f.withdrawn)
		f.withdrawn = nil
	}
}

// Discard says that the file was removed: nothing of it is stored any more. It waits for a publication under way to end, as Withdraw does. What is local can be
// read until Close.
func (f *File) Discard(ctx context.Context) (appeared bool) {
	appeared = f.Withdraw(ctx)
	f.mu.Lock()
	f.decide()
	f.abort()
	f.mu.Unlock()
	f.logFailure("log", ignoreClosed(f.note(journal.Discarded{})))
	f.finish()
	return appeared
}

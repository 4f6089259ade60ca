package upload

import (
	"maps"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// restAfterClose is for how long a small file that is safe on the local disk is left alone before it is stored. Most
// programs that give a file another name, or another mode, or remove it again, do so within some milliseconds of its
// close: what is stored only then costs one request, and not a copy and a removal as well.
const restAfterClose = 200 * time.Millisecond

// rest is what a file has with [Config.WriteBack] between its acknowledgement and its first attempt. It is not begun
// anew by who closes the file again, so that one that is written and synced all the time is stored as well.
type rest struct {
	timer *time.Timer // runs while it rests
	owed  bool        // it was acknowledged without being stored; something must be begun, whatever ends the rest

	acknowledged bool // since it was last stored somebody was told that it is kept, and only the local disk does

	saved    bool // the log says what the file is now, and is on the disk with its data where that is to be
	metadata map[string]string
}

func (r *rest) cancel() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// save is saveHeld for a publication, which may be acknowledged by that.
func (f *File) save(p *publication) error {
	err := f.saveHeld()
	if err == nil {
		p.local.Store(f.uploads.cfg.WriteBack)
	}
	return err
}

// saveHeld has the log say what the file is now and, with write-back, be on the disk with its data. The caller holds
// the turnstile.
func (f *File) saveHeld() error {
	staging, err := f.stageHeld()
	if err != nil {
		return err
	}
	metadata, back := f.described(), f.uploads.cfg.WriteBack
	f.mu.Lock()
	saved := f.resting.saved && maps.Equal(f.resting.metadata, metadata)
	c := f.content.clone()
	f.noted = objstore.Range{Off: c.size}
	f.mu.Unlock()
	if saved {
		return nil
	}
	if err := staging.Note(journal.Closed{Size: c.size, Local: c.local, Changed: c.changed, Metadata: metadata}); err != nil {
		return err
	}
	if back {
		if err := staging.Sync(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resting.saved, f.resting.metadata, f.resting.acknowledged = true, metadata, back
	return nil
}

// rests ends a publication of which nobody waits for more than the local disk, if the file is stored by one request: it
// is stored after a rest. The caller holds the turnstile.
func (f *File) rests(p *publication) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.mayRest || f.content.size > f.uploads.sizes.part || f.multipart != nil {
		f.resting.cancel()
		return false
	}
	f.publication, f.resting.owed = nil, true
	if f.resting.timer == nil && !f.discarded {
		f.resting.timer = time.AfterFunc(restAfterClose, f.begin)
	}
	return true
}

// Acknowledged tells whether something was acknowledged with [Config.WriteBack] that the store does not have yet.
func (f *File) Acknowledged() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.dirty && f.goesOn() && f.resting.acknowledged
}

// endRest has the file be stored now, if it rests.
func (f *File) endRest() {
	f.mu.Lock()
	resting := f.resting.timer != nil
	f.mu.Unlock()
	if resting {
		f.begin()
	}
}

// endRests has all be stored that rests.
func (u *Uploads) endRests() {
	for _, f := range u.all() {
		f.endRest()
	}
}

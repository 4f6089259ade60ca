package upload

import (
	"errors"

	"github.com/headrace/headrace/upload/journal"
)

// noteName is note of what has become of the file's name. [Uploads.SyncNames] has it be on the disk.
func (f *File) noteName(s journal.Step) error {
	err := f.note(s)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.staging != nil {
		f.names++
	}
	return err
}

// SyncNames has all that was renamed and removed be so after a loss of power too, when it returns: with
// [Config.WriteBack], and what is to be removed later in any case. What the store has, it has.
func (u *Uploads) SyncNames() error {
	removals, err := u.mover.syncRemovals()
	failures := []error{err}
	if u.cfg.WriteBack {
		for _, f := range u.all() {
			failures = append(failures, f.syncName())
		}
	} else if len(removals) == 0 {
		return err
	}
	err = u.cfg.Journal.SyncNames() // last: a log that is removed meanwhile is closed after that
	if err == nil {                 // not before: who asks meanwhile, or again, waits for a sync of its own
		u.mover.ended(removals...)
	}
	return errors.Join(append(failures, err)...)
}

func (f *File) syncName() error {
	f.mu.Lock()
	names, staging := f.names, f.staging
	due := names > f.namesSynced
	f.mu.Unlock()
	if !due {
		return nil
	}
	err := ignoreClosed(staging.SyncLog())
	if err == nil { // not before: who asks meanwhile waits for a sync of its own
		f.mu.Lock()
		f.namesSynced = max(f.namesSynced, names)
		f.mu.Unlock()
	}
	return err
}

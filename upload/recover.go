package upload

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// Recovery counts what dead mounts have left, and what becomes of it.
type Recovery struct {
	Storing int // files that were closed
	Moving  int // renames that had begun
	Kept    int // for their owner to decide: written and never closed, in conflict, renamed in part, or with a log that is damaged
	Removed int // there was nothing in them that is not stored
}

// Buckets opens the bucket of a name.
type Buckets func(ctx context.Context, name string) (objstore.Bucket, error)

// Recover goes on with what is in the journal, of mounts that are dead, before anything else is: what was closed is
// stored, and what was being renamed is moved, both in the background ([Uploads.Flush] waits); multipart uploads that
// nobody needs are aborted; the rest is kept. The error tells of what could not be dealt with, and stays.
func (u *Uploads) Recover(ctx context.Context, buckets Buckets) (Recovery, error) {
	var done Recovery
	records, err := u.cfg.Journal.Uploads()
	failures := []error{err}
	given := givenUp(records)
	for _, r := range records {
		if err := u.recoverFile(ctx, buckets, r, given[r.ID], &done); err != nil {
			failures = append(failures, fmt.Errorf("%s (s3://%s/%s): %w", r.ID, r.Bucket, r.Key, err))
		}
	}
	renames, err := u.cfg.Journal.Moves()
	failures = append(failures, err)
	for _, r := range renames {
		if err := u.recoverMoves(ctx, buckets, r, &done); err != nil {
			failures = append(failures, fmt.Errorf("%s (s3://%s/%s): %w", r.ID, r.Bucket, r.From, err))
		}
	}
	return done, errors.Join(failures...)
}

// givenUp are the uploads of which another has taken the name by a rename that their own logs do not say anything of:
// the mount died before. What took the name of one and is itself for its owner to decide has not, or what somebody was
// told is kept would be gone for something that is not stored.
func givenUp(records []journal.Record) map[string]bool {
	given := make(map[string]bool)
	for _, r := range records {
		if r.Over != "" && (r.State == journal.StateStored || fateOf(r, 1, journal.Boot()) == fatePublish) {
			given[r.Over] = true
		}
	}
	return given
}

func (u *Uploads) recoverFile(ctx context.Context, buckets Buckets, r journal.Record, givenUp bool, done *Recovery) error {
	data, err := u.cfg.Journal.DataSize(r.ID)
	if err != nil {
		return err
	}
	fate := fateOf(r, data, journal.Boot())
	if givenUp && fate != fateNothing {
		fate = fateForget
	}
	if fate == fateNothing || fate == fateKeep && len(r.Uploads) == 0 {
		done.Kept++
		return nil
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		done.Kept++
		return err
	}
	left, err := u.settleUploads(ctx, b, r)
	if err != nil {
		done.Kept++
		return err
	}
	switch {
	case fate == fatePublish:
		f, err := u.resume(b, r.ID)
		if err != nil {
			done.Kept++
			return err
		}
		done.Storing++
		f.Close()
	case fate == fateForget && !left:
		done.Removed++
		return u.remove(r.ID)
	default:
		done.Kept++
	}
	return nil
}

// remove removes an upload's files.
func (u *Uploads) remove(id string) error {
	staging, _, err := u.cfg.Journal.Resume(id)
	if err != nil {
		return err
	}
	return staging.Remove()
}

// settleUploads aborts the multipart uploads of a log, but for one that has bytes which are nowhere else. left: some
// may be in the store that cannot be told from somebody else's.
func (u *Uploads) settleUploads(ctx context.Context, b objstore.Bucket, r journal.Record) (left bool, err error) {
	needed, _ := r.Current()
	if len(r.Released) == 0 {
		needed.ID = ""
	}
	if len(r.Uploads) == 0 || len(r.Uploads) == 1 && needed.ID != "" {
		return false, nil
	}
	staging, _, err := u.cfg.Journal.Resume(r.ID)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, staging.Close()) }()
	o := orphans{bucket: b, known: u.knownUploads()}
	for _, m := range r.Uploads {
		if m.ID != "" && m.ID == needed.ID {
			continue
		}
		settled, err := o.abort(ctx, m)
		if err != nil {
			return true, err
		}
		if !settled {
			left = true
			u.cfg.Log.Warn("several multipart uploads may be the one that was begun here: look with `headrace uploads show`", "id", r.ID, "bucket", r.Bucket, "key", m.Key, "begun", m.Initiated)
			continue
		}
		if err := staging.Note(journal.Aborted{UploadID: m.ID}); err != nil {
			return true, err
		}
		if len(m.ID) > 0 {
			u.lookAgain(b, m.Key, m.ID)
		}
	}
	return left, nil
}

// knownUploads tells of the ids that stand in any log below the staging root, of other mounts too. They are read when
// the first is asked for.
func (u *Uploads) knownUploads() func(id string) bool {
	var known map[string]bool
	return func(id string) bool {
		if known == nil {
			known = u.readKnownUploads()
		}
		return known[id]
	}
}

func (u *Uploads) readKnownUploads() map[string]bool {
	known := make(map[string]bool)
	dirs, err := journal.List(filepath.Dir(u.cfg.Journal.Path()))
	for _, d := range dirs {
		records, failure := d.Uploads()
		err = errors.Join(err, failure)
		for _, r := range records {
			for _, m := range r.Uploads {
				known[m.ID] = true
			}
		}
		moves, failure := d.Moves()
		err = errors.Join(err, failure)
		for _, r := range moves {
			for _, m := range r.Copies {
				known[m.ID] = true
			}
		}
	}
	if err != nil {
		u.cfg.Log.Warn("some staging directories cannot be read", "error", err)
	}
	return known
}

// recoverMoves goes on with a rename in the background.
func (u *Uploads) recoverMoves(ctx context.Context, buckets Buckets, r journal.MovesRecord, done *Recovery) error {
	if r.Damage != nil || r.Stopped && len(r.Copies) == 0 {
		done.Kept++
		return nil
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		done.Kept++
		return err
	}
	done.Moving++
	u.moving.Add(1)
	if !u.start(func() {
		defer u.moving.Add(-1)
		if _, err := u.mover.resume(u.life, b, r.ID, false, u.knownUploads()); err != nil && u.life.Err() == nil {
			u.cfg.Log.Error("a rename that was begun before is not finished", "id", r.ID, "from", r.From, "to", r.To, "error", err)
		}
	}) {
		u.moving.Add(-1)
	}
	return nil
}

package upload

import (
	"context"
	"errors"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// resume finishes a rename that a dead mount has left. What was not planned whole has not begun, and is forgotten. What
// somebody was told has failed is left as it is (finished: false), but for multipart uploads of its, unless they ask
// again.
func (m *mover) resume(ctx context.Context, b objstore.Bucket, id string, asked bool, known func(string) bool) (finished bool, err error) {
	release, err := m.claim(id)
	if err != nil {
		return false, err
	}
	defer release()
	log, rec, err := m.journal.ResumeMoves(id)
	if err != nil {
		return false, err
	}
	if !rec.Whole {
		return true, log.Remove()
	}
	if err := m.abortCopies(ctx, b, log, rec, orphans{bucket: b, known: known}); err != nil {
		return false, errors.Join(err, log.Close())
	}
	if rec.From == rec.To { // a rewrite, which is done or not
		return true, log.Remove()
	}
	if rec.Stopped && !asked {
		return false, log.Close()
	}
	if rec.To == "" {
		return true, m.resumeRemoval(ctx, b, log, asked)
	}
	_, err = m.carryOut(ctx, b, log, true)
	return true, err
}

// giveUp drops a rename as far as it is.
func (m *mover) giveUp(ctx context.Context, b objstore.Bucket, id string, known func(string) bool) error {
	release, err := m.claim(id)
	if err != nil {
		return err
	}
	defer release()
	log, rec, err := m.journal.ResumeMoves(id)
	if err != nil {
		return err
	}
	if err := m.abortCopies(ctx, b, log, rec, orphans{bucket: b, known: known}); err != nil {
		return errors.Join(err, log.Close())
	}
	return log.Remove()
}

// abortCopies aborts the multipart uploads of moves that were under way.
func (m *mover) abortCopies(ctx context.Context, b objstore.Bucket, log *journal.Moves, rec journal.MovesRecord, o orphans) error {
	if len(rec.Copies) == 0 {
		return nil
	}
	for index, one := range log.Pending() {
		u, begun := rec.Copies[index]
		if !begun {
			continue
		}
		u.Key = one.To
		settled, err := o.abort(ctx, u)
		if err != nil {
			return err
		}
		if !settled {
			m.log.Warn("a multipart upload may be left in the store", "bucket", b.Name(), "key", u.Key, "begun", u.Initiated)
		}
		if err := log.Copied(index); err != nil {
			return err
		}
	}
	return nil
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// RemoveVersion removes an object, if its key still holds that version: nil when it holds nothing, objstore.ErrChanged
// when it holds something else. The store removes under that condition where it looks at it; elsewhere what somebody
// else puts there in the moment between is lost.
func (u *Uploads) RemoveVersion(ctx context.Context, b objstore.Bucket, v objstore.Version) error {
	return u.mover.removeVersion(ctx, b, v)
}

func (m *mover) removeVersion(ctx context.Context, b objstore.Bucket, v objstore.Version) error {
	there, err := objstore.Holds(ctx, b, v)
	switch {
	case errors.Is(err, objstore.ErrChanged):
		return fmt.Errorf("%s was replaced meanwhile: %w", v.Key, err)
	case err != nil || !there:
		return err
	case strings.HasSuffix(v.Key, "/"): // of a directory's marker stores that keep objects in folders may know no ETag
		return b.Delete(ctx, v.Key)
	}
	return m.remover.Remove(ctx, b, v)
}

// RemoveLater removes a version as RemoveVersion does, but without anybody's waiting for it: what the store could not
// do just now is tried again, by the next mount too, until it is done, or the store refuses it. Until then nothing is
// stored under its key, where it would be in the way. Who opens it for writing meanwhile is to replace it: then it
// stays.
func (u *Uploads) RemoveLater(b objstore.Bucket, v objstore.Version) error {
	m := u.mover
	log, release, err := m.begin(b, v.Key, "")
	if err != nil {
		return err
	}
	one := journal.Move{From: v.Key, ETag: v.ETag, Size: v.Size}
	if err := errors.Join(log.Plan([]journal.Move{one}), log.Listed()); err != nil {
		release()
		return errors.Join(err, log.Remove())
	}
	m.relied(log)
	hold, _ := u.Hold(u.life, b, v.Key) // or what is stored there takes its place, which is looked at
	u.moving.Add(1)
	end := func() {
		if hold != nil {
			hold.Release()
		}
		u.moving.Add(-1)
		release()
	}
	if u.start(func() {
		defer end()
		if err := m.finishRemoval(u.life, b, log, one, false); err != nil && u.life.Err() == nil {
			u.cfg.Log.Error("the object of a renamed file is not removed", "id", log.ID(), "key", v.Key, "error", err)
		}
	}) {
		return nil
	}
	end()
	m.ended(log)
	return log.Close() // for the next mount
}

// relied has the log of a removal be one that syncRemovals syncs, until it has ended.
func (m *mover) relied(log *journal.Moves) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsynced[log] = struct{}{}
}

func (m *mover) ended(logs ...*journal.Moves) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, log := range logs {
		delete(m.unsynced, log)
	}
}

// syncRemovals syncs the logs of what is to be removed later, and tells which it did. Each has ended for this only when
// its name is on the disk, too.
func (m *mover) syncRemovals() (synced []*journal.Moves, err error) {
	m.mu.Lock()
	logs := slices.Collect(maps.Keys(m.unsynced))
	m.mu.Unlock()
	for _, log := range logs {
		failure := ignoreClosed(log.Sync())
		if failure == nil {
			synced = append(synced, log)
		}
		err = errors.Join(err, failure)
	}
	return synced, err
}

// Refused tells that the store will never do what was asked of it, however often. It is the one rule of which removals
// are tried again.
func Refused(err error) bool {
	return errors.Is(err, objstore.ErrPermission) || errors.Is(err, objstore.ErrInvalid) || errors.Is(err, objstore.ErrUnsupported)
}

// finishRemoval removes what a log says; once: the first failure is the answer. It closes the log.
func (m *mover) finishRemoval(ctx context.Context, b objstore.Bucket, log *journal.Moves, one journal.Move, once bool) error {
	defer m.ended(log)
	v := objstore.Version{Endpoint: b.Endpoint(), Bucket: b.Name(), Key: one.From, ETag: one.ETag, Size: one.Size}
	for tries := 1; ; tries++ {
		var err error
		if !m.replacing(v) {
			err = m.removeVersion(ctx, b, v)
		}
		switch {
		case err == nil, errors.Is(err, objstore.ErrChanged): // what is there now is somebody's own
			return log.Remove()
		case ctx.Err() != nil: // the next mount goes on
			return errors.Join(err, log.Close())
		case once || Refused(err):
			return errors.Join(err, log.Unmoved(0, err.Error()), log.Stopped(), log.Close())
		}
		select {
		case <-time.After(delay(tries)):
		case <-ctx.Done():
			return errors.Join(err, log.Close())
		}
	}
}

// resumeRemoval goes on with a removal that a dead mount has left; asked: by somebody who waits for it.
func (m *mover) resumeRemoval(ctx context.Context, b objstore.Bucket, log *journal.Moves, asked bool) error {
	m.relied(log)
	for _, one := range log.Pending() { // it is one
		return m.finishRemoval(ctx, b, log, one, asked)
	}
	m.ended(log)
	return log.Remove()
}

// replacing tells whether somebody has a file open for writing that is to replace a version.
func (u *Uploads) replacing(v objstore.Version) bool {
	return slices.ContainsFunc(u.at(v.Key), func(f *File) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		r := f.target.Replaces
		return f.goesOn() && r.ETag == v.ETag && r.Bucket == v.Bucket && r.Endpoint == v.Endpoint
	})
}

// lateRemoval is for how long it is looked whether a write without an answer has come through after all: the store may
// have it long after whoever sent it has given up.
const lateRemoval = 90 * time.Second

// RemoveLate has the object of a new empty file, which was discarded while its being stored had no answer, be removed
// when it appears, without anybody's waiting for it. It is known by what names its writer, so that one that somebody
// else makes meanwhile stays, or has open here for writing. Only who makes an empty one of the name in the moment
// between look and removal is not told from it: all of them have the same ETag. t is the file's target before it was
// stored.
func (f *File) RemoveLate(t Target) {
	f.mu.Lock()
	staging := f.staging
	f.mu.Unlock()
	if staging == nil || !t.Exclusive {
		return
	}
	u := f.uploads
	u.start(func() {
		ctx, cancel := context.WithTimeout(u.life, lateRemoval)
		defer cancel()
		for tries := 1; ; tries++ {
			removed, err := u.removeOwn(ctx, t, writer(t, 0, staging))
			if removed {
				return
			}
			select {
			case <-time.After(delay(tries)):
				continue
			case <-ctx.Done():
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				u.cfg.Log.Warn("an empty file that could not be made may be left in the store", "bucket", t.Bucket.Name(), "key", t.Key, "error", err)
			}
			return
		}
	})
}

// removeOwn removes what a key holds, if that bears some metadata.
func (u *Uploads) removeOwn(ctx context.Context, t Target, own map[string]string) (removed bool, err error) {
	e, err := t.Bucket.Stat(ctx, t.Key)
	switch v := objstore.VersionOf(t.Bucket, e); {
	case errors.Is(err, objstore.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case e.Size > 0, !bears(e, own), u.replacing(v):
		return false, nil
	default:
		err = u.RemoveVersion(ctx, t.Bucket, v)
		return err == nil, err
	}
}

package upload

import (
	"context"
	"errors"
	"io"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// doubt tells whether an attempt may have come through without anybody's hearing of it.
func (f *File) doubt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doubtful
}

// store is an attempt, before and after which it is looked, where there is doubt, whether an earlier one has come through.
func (f *File) store(ctx context.Context, p *publication) (e objstore.Entry, err error) {
	doubt := f.doubt()
	if doubt {
		if e, found, err := f.appeared(ctx); found || err != nil {
			return e, err
		}
	}
	e, err = f.attempt(ctx, p)
	refusal := errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrNotExist)
	if doubt && refusal {
		if own, found, failure := f.appeared(ctx); found || failure != nil {
			return own, failure
		}
	}
	return e, err
}

// appeared tells whether an attempt of which nobody heard the answer has come through. It is noted then. Where the file was changed since, what has come through is what it is a change of. The caller
// holds the turnstile.
func (f *File) appeared(ctx context.Context) (e objstore.Entry, found bool, err error) {
	e, found, err = f.find(ctx)
	if err != nil || !found {
		return e, false, err
	}
	f.mu.Lock()
	t, staging, ahead := f.target, f.staging, f.content.ahead()
	f.mu.Unlock()
	if ahead {
		return e, false, f.changeOf(objstore.VersionOf(t.Bucket, e))
	}
	if !bears(e, t.Metadata) {
		e = f.describeStored(ctx, t, e)
	}
	return e, true, staging.Note(journal.Stored{ETag: e.ETag, Size: e.Size})
}

// changeOf has the file be a change of an earlier state of its, which the store has. The log goes on to say that it was acknowledged, if it was.
func (f *File) changeOf(v objstore.Version) error {
	f.mu.Lock()
	f.abort() // what it was stored by, if that was a multipart upload, is not there any more
	f.target.Replaces, f.target.Exclusive, f.content.base, f.doubtful = v, false, v, false
	step := f.retargetStep()
	f.mu.Unlock()
	step.Base = &v
	return f.note(step)
}

// find tells whether the key holds what this file was when it was last tried to be stored: another version than the one it replaces, of its size, and with all in it that was written here and not changed since. The
// caller holds the turnstile.
func (f *File) find(ctx context.Context) (e objstore.Entry, found bool, err error) {
	f.mu.Lock()
	c, t, staging := f.content.clone(), f.target, f.staging
	f.mu.Unlock()
	same := c.unchanged()
	if c.ahead() && (same.bytes() == 0 || len(c.released) > 0) { // there is nothing to know it by
		return e, false, nil
	}
	e, err = t.Bucket.Stat(ctx, t.Key)
	if errors.Is(err, objstore.ErrNotExist) {
		return e, false, nil
	}
	if err != nil || e.Size != c.tried || e.ETag == t.Replaces.ETag {
		return e, false, err
	}
	v := objstore.VersionOf(t.Bucket, e)
	for _, r := range same {
		same, err := sameAs(ctx, t.Bucket, v, r, staging.Data())
		if errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrNotExist) || err == nil && !same {
			return e, false, nil
		} else if err != nil {
			return e, false, err
		}
	}
	return e, true, nil
}

// stray is what an attempt of which nobody heard the answer has put under the file's key; no version where there was none, or the store does not tell.
func (f *File) stray(ctx context.Context) (v objstore.Version, err error) {
	if !f.doubt() {
		return v, nil
	}
	if err := f.quiet(ctx); err != nil {
		return v, err
	}
	if err := f.turn.hold(ctx); err != nil {
		return v, err
	}
	defer f.turn.release()
	if !f.doubt() { // it has been stored meanwhile
		return v, nil
	}
	if e, found, err := f.find(ctx); err == nil && found {
		f.mu.Lock()
		defer f.mu.Unlock()
		v = objstore.VersionOf(f.target.Bucket, e)
	}
	return v, nil
}

// sameAs tells whether bytes of a version are those of the data.
func sameAs(ctx context.Context, b objstore.Bucket, v objstore.Version, r objstore.Range, data io.ReaderAt) (bool, error) {
	body, err := b.Open(ctx, v, r)
	if err != nil {
		return false, err
	}
	defer body.Close()
	return objstore.SameBytes(body, io.NewSectionReader(data, r.Off, r.Len))
}

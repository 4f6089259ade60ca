package upload

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// resume goes on with the file of a log. The caller closes it.
func (u *Uploads) resume(b objstore.Bucket, id string) (*File, error) {
	if err := u.reserve(id); err != nil {
		return nil, err
	}
	staging, r, err := u.cfg.Journal.Resume(id)
	if err != nil {
		u.forget(&File{resumed: id})
		return nil, err
	}
	info, err := staging.Data().Stat()
	if err != nil {
		u.forget(&File{resumed: id})
		return nil, errors.Join(err, staging.Close())
	}
	f := newFile(u, Target{Bucket: b, Key: r.Key, Replaces: r.Replaces, Exclusive: r.Exclusive, Attributes: r.Attributes, Metadata: r.Metadata}, r.Base)
	f.content, f.staging, f.doubtful, f.resumed = contentOf(r, info.Size()), staging, r.Publishing, id
	f.content.attempted() // as far as the log tells
	f.charged = f.content.local.bytes()
	if m, ok := r.Current(); ok && len(r.Released) > 0 {
		f.multipart = u.resumeParts(b, m, f.content.released)
	}
	u.budget.force(f.charged)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list(f, r.Key)
	return f, nil
}

// reserve makes somebody the only one who goes on with a log, until its file is forgotten.
func (u *Uploads) reserve(id string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return os.ErrClosed
	}
	if _, taken := u.resumed[id]; taken {
		return ErrBeingWritten
	}
	u.resumed[id] = struct{}{}
	return nil
}

// resumeParts is a multipart upload with those of its parts that are nowhere else any more. The others are sent again: that nothing of them was changed
// afterwards, the log does not tell.
func (u *Uploads) resumeParts(b objstore.Bucket, from journal.Multipart, released ranges) *multipart {
	m := &multipart{bucket: b, key: from.Key, id: from.ID, ready: make(chan struct{}), slots: partSlots(b), parts: make(map[int]*part)}
	close(m.ready)
	for _, p := range from.Parts {
		where := objstore.Range{Off: p.Off, Len: p.Size}
		if where == u.sizes.at(p.Number) && released.covers(where) {
			m.parts[p.Number] = partSent(where, p.Part)
			m.parts[p.Number].gone = true
		}
	}
	return m
}

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

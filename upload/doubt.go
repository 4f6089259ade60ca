package upload

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// doubt tells whether an attempt may have come through without anybody's hearing of it.
func (f *File) doubt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doubtful
}

// unanswered is an attempt to store the file of which nobody heard the answer: its object may appear at any time, until
// something else has taken the place that it is to take.
type unanswered struct {
	size    int64
	changes int64             // of the content when it was made; -1 for one that is not there any more
	bytes   ranges            // that were local
	summed  bool              // sum is set: else the object is known only while the content is still the same
	sum     [sha256.Size]byte // of bytes
}

// knowable tells whether the attempt's object can be told from another one, now that the content is c.
func (a unanswered) knowable(c content) bool {
	return a.changes == c.changes || a.summed && (len(a.bytes) > 0 || a.size == 0) && len(c.released) == 0 // what was let go, that object has
}

// maxUnanswered bounds how many attempts are remembered. Those between two of them are at least a second apart, and at
// a store that answers none, soon a minute.
const maxUnanswered = 32

// summedMost is how many bytes of an attempt are summed, while its writers wait: less than a second's worth.
const summedMost = 256 << 20

// rememberUnanswered has the object of an attempt be known if it appears. The caller holds the turnstile, so that the
// file is what it was.
func (f *File) rememberUnanswered(p *publication) {
	p.mu.Lock()
	committed := p.committed
	p.mu.Unlock()
	if p.err == nil || answered(p.err) || !committed || f.uploads.life.Err() != nil { // the log of a mount that ends tells the next one
		return
	}
	f.mu.Lock()
	c, staging := f.content.clone(), f.staging
	known := slices.ContainsFunc(f.unanswered, func(a unanswered) bool { return a.changes == c.changes })
	f.mu.Unlock()
	if known {
		return
	}
	a := unanswered{size: c.size, changes: c.changes, bytes: c.local}
	if c.local.bytes() <= summedMost {
		if err := a.summedBy(staging); err != nil {
			f.logFailure("remember", err)
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unanswered = latest(append(f.unanswered, a))
}

// summedBy has the attempt be known by its sum, also to the next mount.
func (a *unanswered) summedBy(staging *journal.Upload) (err error) {
	a.sum, err = a.sumOf(func(r objstore.Range) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(staging.Data(), r.Off, r.Len)), nil
	})
	if err == nil {
		a.summed = true
		err = staging.Note(journal.Unanswered{Size: a.size, Bytes: a.bytes, Sum: a.sum[:]})
	}
	return err
}

// latest are those of the attempts that are remembered.
func latest(all []unanswered) []unanswered { return all[max(0, len(all)-maxUnanswered):] }

// resumeDoubt has the file know of the attempts that its log tells of: the last is of what it is now, if it was not
// changed since.
func (f *File) resumeDoubt(r journal.Record) {
	f.doubtful = r.Publishing || r.Boot != journal.Boot() // that it was being stored, or is, is noted without a sync
	for _, one := range r.Unanswered {
		a := unanswered{size: one.Size, changes: -1, bytes: one.Bytes, summed: true}
		if copy(a.sum[:], one.Sum) == len(a.sum) {
			f.unanswered = append(f.unanswered, a)
		}
	}
	f.unanswered = latest(append(f.unanswered, unanswered{size: f.content.size, changes: f.content.changes, bytes: f.content.local}))
}

// sumOf is a sum of the attempt's bytes, as open reads them.
func (a unanswered) sumOf(open func(objstore.Range) (io.ReadCloser, error)) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, r := range a.bytes {
		body, err := open(r)
		if err != nil {
			return sum, err
		}
		n, err := io.Copy(h, body)
		if err == nil && n < r.Len {
			err = io.ErrUnexpectedEOF
		}
		if err = errors.Join(err, body.Close()); err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// store is an attempt, before and after which it is looked, where there is doubt, whether an earlier one has come
// through: it may have done so in between.
func (f *File) store(ctx context.Context, p *publication) (e objstore.Entry, err error) {
	for {
		if f.doubt() {
			if e, found, err := f.appeared(ctx); found || err != nil {
				return e, err
			}
		}
		e, err = f.attempt(ctx, p)
		refusal := errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrNotExist)
		if !f.doubt() || !refusal {
			return e, err
		}
		if own, found, failure := f.appeared(ctx); found || failure != nil {
			return own, failure
		}
		if f.doubt() { // nothing of ours is there
			return e, err
		}
	}
}

// appeared tells whether an attempt of which nobody heard the answer has come through. It is noted then. Where the file
// was changed since, what has come through is what it is a change of, and there is no doubt any more. The caller holds
// the turnstile.
func (f *File) appeared(ctx context.Context) (e objstore.Entry, found bool, err error) {
	e, a, err := f.find(ctx)
	if err != nil || a == nil {
		return e, false, err
	}
	f.mu.Lock()
	t, staging, ahead := f.target, f.staging, a.changes != f.content.changes
	f.mu.Unlock()
	if ahead {
		return e, false, f.changeOf(objstore.VersionOf(t.Bucket, e))
	}
	if !bears(e, t.Metadata) {
		e = f.describeStored(ctx, t, e)
	}
	return e, true, staging.Note(journal.Stored{ETag: e.ETag, Size: e.Size})
}

// writer is the metadata by which the object of an attempt is known that has no bytes to know it by, and which nobody
// else may have made: a lock, mostly.
func writer(t Target, size int64, staging *journal.Upload) map[string]string {
	if !t.Exclusive || size > 0 {
		return nil
	}
	return map[string]string{objstore.WriterMetadata: staging.ID()}
}

// changeOf has the file be a change of an earlier state of its, which the store has. The log goes on to say that it was
// acknowledged, if it was.
func (f *File) changeOf(v objstore.Version) error {
	f.mu.Lock()
	f.abort() // what it was stored by, if that was a multipart upload, is not there any more
	f.target.Replaces, f.target.Exclusive, f.content.base, f.doubtful, f.unanswered = v, false, v, false, nil
	step := f.retargetStep()
	f.mu.Unlock()
	step.Base = &v
	return f.note(step)
}

// find is the attempt of which the key holds the object: another version than the one the file replaces, of the
// attempt's size, and with all in it that was written here. nil where there is none. The caller holds the turnstile.
func (f *File) find(ctx context.Context) (e objstore.Entry, found *unanswered, err error) {
	f.mu.Lock()
	c, t, staging, attempts := f.content.clone(), f.target, f.staging, slices.Clone(f.unanswered)
	f.mu.Unlock()
	attempts = slices.DeleteFunc(attempts, func(a unanswered) bool { return !a.knowable(c) })
	if len(attempts) == 0 {
		return e, nil, nil
	}
	e, err = t.Bucket.Stat(ctx, t.Key)
	if errors.Is(err, objstore.ErrNotExist) {
		return e, nil, nil
	}
	if err != nil || e.ETag == t.Replaces.ETag {
		return e, nil, err
	}
	if !bears(e, writer(t, e.Size, staging)) {
		return e, nil, nil
	}
	attempts = slices.DeleteFunc(attempts, func(a unanswered) bool { return a.size != e.Size })
	found, err = attemptOf(ctx, t.Bucket, objstore.VersionOf(t.Bucket, e), attempts, original{staging.Data(), c.changes})
	if errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrNotExist) {
		return e, nil, nil
	}
	return e, found, err
}

// stray is what an attempt of which nobody heard the answer has put under the file's key; no version where there was
// none, or the store does not tell.
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
	if e, found, err := f.find(ctx); err == nil && found != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		v = objstore.VersionOf(f.target.Bucket, e)
	}
	return v, nil
}

package upload

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// attempt stores the file as it is now, which is in the log. The caller holds the turnstile.
func (f *File) attempt(ctx context.Context, p *publication) (objstore.Entry, error) {
	staging, err := f.stageHeld()
	if err != nil {
		return objstore.Entry{}, err
	}
	f.mu.Lock()
	f.redescribed = false
	c, t := f.content.clone(), f.target
	f.mu.Unlock()
	sent, err := f.awaitEarly(ctx)
	if err != nil {
		return objstore.Entry{}, err
	}
	steps := f.uploads.sizes.planOf(&c, sent)
	var e objstore.Entry
	var id string
	if steps == nil {
		e, err = f.putWhole(ctx, p, staging, t, c.size)
	} else {
		e, id, err = f.putParts(ctx, p, staging, t, steps)
	}
	if err != nil {
		return e, err
	}
	e.Size = c.size
	return e, staging.Note(journal.Stored{ETag: e.ETag, Size: e.Size, UploadID: id})
}

// putWhole stores the file with one request.
func (f *File) putWhole(ctx context.Context, p *publication, staging *journal.Upload, t Target, size int64) (e objstore.Entry, err error) {
	attrs, err := f.attributes(ctx, t)
	if err != nil {
		return e, err
	}
	attrs.Metadata = layOver(attrs.Metadata, writer(t, size, staging))
	if err := f.fetch(ctx, objstore.Range{Len: size}); err != nil {
		return e, err
	}
	if err := staging.Note(journal.Publishing{}); err != nil {
		return e, err
	}
	err = f.conditionally(ctx, t, func(cond objstore.Condition) (err error) {
		body := &watched{SectionReader: io.NewSectionReader(staging.Data(), 0, size), seen: p.seen, last: p.commit}
		if size == 0 { // nothing of it will be read
			if err := p.commit(); err != nil {
				return err
			}
		}
		e, err = t.Bucket.Put(ctx, t.Key, body, size, cond, attrs)
		return err
	})
	if err == nil {
		f.uploads.totals.put(size)
	}
	return e, err
}

// putParts stores the file as a multipart upload. One that the store does not know any more is given up: the next
// attempt begins another.
func (f *File) putParts(ctx context.Context, p *publication, staging *journal.Upload, t Target, steps []step) (e objstore.Entry, id string, err error) {
	f.mu.Lock()
	m := f.multipartLocked(slices.ContainsFunc(steps, func(s step) bool { return s.copied }))
	f.mu.Unlock()
	parts, err := f.sendSteps(ctx, m, steps, p.seen)
	if err == nil {
		err = staging.Note(journal.Publishing{})
	}
	if err == nil {
		err = f.conditionally(ctx, t, func(cond objstore.Condition) (err error) {
			if err := p.commit(); err != nil {
				return err
			}
			e, err = t.Bucket.CompleteUpload(ctx, m.key, m.id, inOrder(parts), cond)
			return err
		})
	}
	if err == nil && !maps.Equal(m.metadata, t.Metadata) { // it was begun with other
		e = f.describeStored(ctx, t, e)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.multipart, f.spoiled = nil, nil
		return e, m.id, nil
	}
	if (m.failed() || errors.Is(err, objstore.ErrNotExist)) && f.multipart == m && len(f.content.released) == 0 {
		f.abort()
	}
	return e, "", err
}

// conditionally writes under the condition that the key holds what this file replaces. Where the store knows no
// conditions, it looks before it writes, which leaves a moment in which somebody else's write is lost; that is said
// once.
func (f *File) conditionally(ctx context.Context, t Target, write func(objstore.Condition) error) error {
	cond := objstore.Condition{IfNew: true}
	if t.Replaces.ETag != "" {
		cond = objstore.Condition{IfMatch: t.Replaces.ETag}
	}
	u := f.uploads
	if !u.unconditional.Load() {
		err := write(cond)
		if !errors.Is(err, objstore.ErrUnsupported) {
			return refused(err, t)
		}
		if !u.unconditional.Swap(true) {
			u.cfg.Log.Warn("the store has no conditional writes: what another client writes in the same moment may be replaced", "bucket", t.Bucket.Name())
		}
	}
	switch e, err := t.Bucket.Stat(ctx, t.Key); {
	case errors.Is(err, objstore.ErrNotExist) && t.Replaces.ETag == "", err == nil && t.Replaces.ETag == e.ETag:
		return write(objstore.Condition{})
	case err == nil, errors.Is(err, objstore.ErrNotExist):
		return refused(&objstore.Error{Op: "HeadObject", Bucket: t.Bucket.Name(), Key: t.Key, Err: objstore.ErrChanged}, t)
	default:
		return err
	}
}

// refused is the error of a write whose condition did not hold: that the name exists is for who wanted a new one.
func refused(err error, t Target) error {
	wanted := objstore.ErrChanged
	if t.Exclusive {
		wanted = objstore.ErrExists
	}
	if !errors.Is(err, objstore.ErrExists) && !errors.Is(err, objstore.ErrChanged) {
		return err
	}
	if e, ok := errors.AsType[*objstore.Error](err); ok {
		changed := *e
		changed.Err = wanted
		return &changed
	}
	return wanted
}

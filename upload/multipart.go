package upload

import (
	"context"
	"errors"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// multipart is a multipart upload under way.
type multipart struct {
	bucket objstore.Bucket
	key    string
	ready  chan struct{} // closed when id or err is set, and slots
	id     string
	err    error
	slots  chan struct{} // who sends a part has one

	metadata map[string]string // that was laid over the attributes when it was begun

	parts map[int]*part // by number in the layout, those that were sent early; guarded by File.mu
}

// failed tells whether the store did not begin it.
func (m *multipart) failed() bool {
	select {
	case <-m.ready:
		return m.err != nil
	default:
		return false
	}
}

// begun waits until the store has begun it, or would not.
func (m *multipart) begun(ctx context.Context) error {
	select {
	case <-m.ready:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// multipartLocked is the multipart upload of the file, begun when there is none; copies: with parts that are copied.
// The caller holds mu.
func (f *File) multipartLocked(copies bool) *multipart {
	if f.multipart == nil {
		m := &multipart{bucket: f.target.Bucket, key: f.target.Key, ready: make(chan struct{}), parts: make(map[int]*part)}
		f.multipart = m
		staging, target := f.staging, f.target
		if !f.uploads.start(func() { f.create(m, target, staging, copies) }) {
			m.err = context.Canceled
			close(m.ready)
		}
	}
	return f.multipart
}

// create has the store begin a multipart upload. That it is intended is in the log before, and its id before it is
// used.
func (f *File) create(m *multipart, t Target, staging *journal.Upload, copies bool) {
	defer close(m.ready)
	t.Metadata = f.described()
	attrs, err := f.attributes(f.uploads.life, t)
	m.metadata = t.Metadata
	attrs.Copies = copies
	if err == nil {
		err = staging.Note(journal.Intent{Key: m.key, At: f.uploads.cfg.Now()})
	}
	if err == nil {
		m.id, err = t.Bucket.CreateUpload(f.uploads.life, m.key, attrs)
	}
	m.slots = partSlots(t.Bucket)
	if err == nil {
		err = staging.Note(journal.UploadID{ID: m.id})
	}
	m.err = err
}

// attributes are what goes along with the object: what was given, or what the object has that is replaced.
// objstore.ErrChanged when that is not there any more.
func (f *File) attributes(ctx context.Context, t Target) (objstore.Attributes, error) {
	a, err := f.ownAttributes(ctx, t)
	if _, ok := a.Metadata[objstore.WriterMetadata]; ok { // of the write that this one replaces
		a.Metadata = layOver(a.Metadata, map[string]string{objstore.WriterMetadata: ""})
	}
	a.Metadata = layOver(a.Metadata, t.Metadata)
	return a, err
}

func (f *File) ownAttributes(ctx context.Context, t Target) (objstore.Attributes, error) {
	a := t.Attributes
	if t.Replaces.ETag == "" || a.ContentType != "" || len(a.Metadata) > 0 || a.StorageClass != "" {
		return a, nil
	}
	e, err := t.Bucket.Stat(ctx, t.Key)
	switch {
	case errors.Is(err, objstore.ErrNotExist), err == nil && e.ETag != t.Replaces.ETag:
		return a, &objstore.Error{Op: "HeadObject", Bucket: t.Bucket.Name(), Key: t.Key, Err: objstore.ErrChanged}
	case err != nil:
		return a, err
	}
	return objstore.AttributesOf(ctx, t.Bucket, e)
}

// abort gives up the multipart upload, if there is one, and has the store forget it. The caller holds mu, and nothing
// of it may be let go.
func (f *File) abort() {
	m, staging := f.multipart, f.staging
	if m == nil {
		return
	}
	f.multipart, f.spoiled = nil, nil
	f.aborting++
	parts, underWay := make([]*part, 0, len(m.parts)), false
	for _, p := range m.parts {
		underWay = underWay || p.sent == nil
		p.cancel()
		parts = append(parts, p)
	}
	ended := func() {
		f.mu.Lock()
		f.aborting--
		f.mu.Unlock()
		f.finish()
	}
	if !f.uploads.start(func() {
		defer ended()
		for _, p := range parts {
			<-p.done
		}
		<-m.ready
		if m.id == "" {
			return // what came of it, the log knows
		}
		if err := m.bucket.AbortUpload(f.uploads.life, m.key, m.id); err != nil {
			f.logFailure("abort upload", err)
			return
		}
		if underWay {
			f.uploads.lookAgain(m.bucket, m.key, m.id)
		}
		f.logFailure("log", ignoreClosed(staging.Note(journal.Aborted{UploadID: m.id})))
	}) {
		f.aborting-- // the next mount finds it in the log
	}
}

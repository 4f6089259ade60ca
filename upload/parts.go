package upload

import (
	"context"
	"errors"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

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

// part is one that is sent while the file is written.
type part struct {
	objstore.Range
	done   chan struct{} // closed when it is sent, or was given up
	cancel context.CancelFunc
	sent   *objstore.Part // nil until it is sent; guarded by File.mu
	gone   bool           // let go from the staging file; guarded by File.mu
}

// partSent is one that the store has.
func partSent(r objstore.Range, sent objstore.Part) *part {
	done := make(chan struct{})
	close(done)
	return &part{Range: r, done: done, cancel: func() {}, sent: &sent}
}

// sendEarly begins to send those parts that a writer of r has completed and gone past. The caller holds mu.
func (f *File) sendEarly(r objstore.Range) {
	z := f.uploads.sizes
	if f.content.size <= z.part || f.discarded || f.lost != nil {
		return
	}
	for number := z.number(max(0, r.Off-1)); number <= z.number(r.End()-1); number++ {
		where := z.at(number)
		done := where.End() < f.content.size && f.content.changed.covers(where) && f.content.local.covers(where)
		if done && !f.spoiled[number] && (f.multipart == nil || f.multipart.parts[number] == nil) {
			f.sendPart(number, where)
		}
	}
}

// sendPart begins to send a part. The caller holds mu.
func (f *File) sendPart(number int, where objstore.Range) {
	m := f.multipartLocked(false)
	ctx, cancel := context.WithCancel(f.uploads.life)
	p := &part{Range: where, done: make(chan struct{}), cancel: cancel}
	m.parts[number] = p
	staging := f.staging
	started := f.uploads.start(func() {
		defer close(p.done)
		defer cancel()
		sent, err := f.send(ctx, m, staging, step{number: number, Range: where}, nil)
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err == nil:
			p.sent = &sent
			f.uploads.budget.poke() // who waits for room may have some of it let go
		case m.parts[number] == p: // it is sent with the rest
			delete(m.parts, number)
		}
	})
	if !started {
		cancel()
		close(p.done)
		delete(m.parts, number)
	}
}

// multipartLocked is the multipart upload of the file, begun when there is none; copies: with parts that are copied. The caller holds mu.
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

// create has the store begin a multipart upload. That it is intended is in the log before, and its id before it is used.
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

// attributes are what goes along with the object: what was given, or what the object has that is replaced. objstore.ErrChanged when that is not there any
// more.
func (f *File) attributes(ctx context.Context, t Target) (objstore.Attributes, error) {
	a, err := f.ownAttributes(ctx, t)
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

// send has the store take one part: bytes of the staging file, or a copy of bytes of the base.
func (f *File) send(ctx context.Context, m *multipart, staging *journal.Upload, s step, seen func(int64)) (sent objstore.Part, err error) {
	if err := m.begun(ctx); err != nil {
		return sent, err
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return sent, ctx.Err()
	}
	if s.copied {
		f.mu.Lock()
		base := f.content.base
		f.mu.Unlock()
		sent, err = m.bucket.CopyPart(ctx, m.key, m.id, s.number, base, s.Range)
	} else {
		body := &watched{SectionReader: io.NewSectionReader(staging.Data(), s.Off, s.Len), seen: seen}
		sent, err = m.bucket.UploadPart(ctx, m.key, m.id, s.number, body, s.Len)
		defer body.tell(0) // it is counted as a part from now on, or is sent again
	}
	if err != nil {
		return sent, err
	}
	f.uploads.totals.sent(s)
	return sent, staging.Note(journal.Part{Part: sent, Off: s.Off})
}

// watched tells how far a body was read: a client reads it for its checksums first, and again for each try, and goes back to its beginning for that.
type watched struct {
	*io.SectionReader
	seen func(int64)  // may be nil; less than zero when it goes back
	last func() error // asked before the last bytes are given away; may be nil

	told int64 // bytes that seen knows of
}

func (w *watched) Read(p []byte) (n int, err error) {
	at, err := w.SectionReader.Seek(0, io.SeekCurrent)
	if err == nil && w.last != nil && at+int64(len(p)) >= w.Size() {
		err = w.last()
	}
	if err != nil {
		return 0, err
	}
	n, err = w.SectionReader.Read(p)
	w.tell(max(w.told, at+int64(n)))
	return n, err
}

func (w *watched) Seek(offset int64, whence int) (int64, error) {
	at, err := w.SectionReader.Seek(offset, whence)
	if err == nil {
		w.tell(min(w.told, at))
	}
	return at, err
}

// tell has seen know that so many bytes were read.
func (w *watched) tell(read int64) {
	if w.seen != nil && read != w.told {
		w.seen(read - w.told)
	}
	w.told = read
}

// WriteTo is hidden: it would not be seen.
func (w *watched) WriteTo(to io.Writer) (int64, error) { return io.Copy(to, struct{ io.Reader }{w}) }

// spoil gives up parts of which bytes are written again. The caller holds mu.
func (f *File) spoil(r objstore.Range) {
	if f.multipart == nil || r.Empty() {
		return
	}
	for number, p := range f.multipart.parts {
		if p.Overlaps(r) && !p.gone {
			p.cancel()
			delete(f.multipart.parts, number)
			if f.spoiled == nil {
				f.spoiled = make(map[int]bool)
			}
			f.spoiled[number] = true
		}
	}
}

// letGo frees the room of the first part that the store has, or waits until it has one.
func (f *File) letGo(ctx context.Context) {
	if f.turn.hold(ctx) != nil {
		return
	}
	defer f.turn.release()
	f.mu.Lock()
	var oldest *part
	if f.multipart != nil && f.uploads.heldBy(f.target) == nil { // else they are given up
		for _, p := range f.multipart.parts {
			if p.sent != nil && !p.gone && (oldest == nil || p.Off < oldest.Off) {
				oldest = p
			}
		}
	}
	staging := f.staging
	f.mu.Unlock()
	if oldest == nil {
		return
	}
	if err := staging.Note(journal.Released{Range: oldest.Range}); err != nil {
		f.logFailure("let go", err)
		return
	}
	if err := punch(staging.Data(), oldest.Range); err != nil {
		f.logFailure("let go", err)
		return
	}
	f.mu.Lock()
	oldest.gone = true
	f.content.release(oldest.Range)
	given := min(f.charged, oldest.Len)
	f.charged -= given
	f.mu.Unlock()
	f.uploads.budget.give(given)
}

// abort gives up the multipart upload, if there is one, and has the store forget it. The caller holds mu, and nothing of it may be
// let go.
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

// sendSteps has the store take those parts of a plan that it does not have yet.
func (f *File) sendSteps(ctx context.Context, m *multipart, steps []step, seen func(int64)) ([]objstore.Part, error) {
	if err := m.begun(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	staging := f.staging
	f.mu.Unlock()
	parts := make([]objstore.Part, len(steps))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(m.slots))
	for i, s := range steps {
		if s.sent != nil {
			parts[i] = *s.sent
			continue
		}
		g.Go(func() (err error) {
			if !s.copied {
				if err := f.fetch(ctx, s.Range); err != nil {
					return err
				}
			}
			parts[i], err = f.send(ctx, m, staging, s, seen)
			if err == nil && !s.copied {
				f.keep(m, s, parts[i])
			}
			if s.copied && errors.Is(err, objstore.ErrUnsupported) { // then the bytes go by way of here
				s.copied = false
				if err = f.fetch(ctx, s.Range); err == nil {
					parts[i], err = f.send(ctx, m, staging, s, seen)
				}
			}
			return err
		})
	}
	return parts, g.Wait()
}

// keep has the next attempt know of a part that was sent, where it is one of the layout. A shorter one is not: the file may be longer by then.
func (f *File) keep(m *multipart, s step, sent objstore.Part) {
	if s.Range != f.uploads.sizes.at(s.number) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m.parts[s.number] = partSent(s.Range, sent)
}

// awaitEarly waits for the parts that are being sent, and returns those that the store has.
func (f *File) awaitEarly(ctx context.Context) (map[int]objstore.Part, error) {
	f.mu.Lock()
	var waiting []*part
	if f.multipart != nil {
		for _, p := range f.multipart.parts {
			waiting = append(waiting, p)
		}
	}
	f.mu.Unlock()
	for _, p := range waiting {
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.multipart == nil {
		return nil, nil
	}
	sent := make(map[int]objstore.Part)
	for number, p := range f.multipart.parts {
		if p.sent != nil {
			sent[number] = *p.sent
		}
	}
	return sent, nil
}

// inOrder are parts as the store wants to hear of them.
func inOrder(parts []objstore.Part) []objstore.Part {
	slices.SortFunc(parts, func(a, b objstore.Part) int { return a.Number - b.Number })
	return parts
}

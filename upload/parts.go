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

// letGo frees the room of the first part that the store has; false where that has none, or the disk did not get it
// back.
func (f *File) letGo(ctx context.Context) bool {
	if f.turn.hold(ctx) != nil {
		return false
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
		return false
	}
	gone, freed := f.free(staging, oldest.Range)
	if !gone {
		return false
	}
	f.mu.Lock()
	oldest.gone = true
	f.content.release(oldest.Range)
	var given int64
	if freed {
		given = min(f.charged, oldest.Len)
	}
	f.charged -= given
	f.mu.Unlock()
	f.uploads.budget.give(given)
	return freed
}

// free has the log say that bytes are let go, and then the disk have their room back. gone is what the log says in the
// end, which is what the file must go by: what it took for its own could be a hole after a crash, or would be looked
// for in a multipart upload that was given up. freed: their room is free.
func (f *File) free(staging *journal.Upload, r objstore.Range) (gone, freed bool) {
	back := f.uploads.cfg.WriteBack
	if back { // after a loss of power the file goes on to the end of what was let go: what is before that must not be zeros that nobody wrote
		if err := staging.SyncData(); err != nil {
			f.logFailure("let go", err)
			return false, false
		}
	}
	err := staging.Note(journal.Released{Range: r, Synced: back})
	if err != nil {
		f.logFailure("let go", err)
		return false, false
	}
	whole := true // what is there
	if back {     // or, after a loss of power, what was acknowledged would be thought to be here
		err = staging.SyncLog()
	}
	if err == nil {
		err = f.uploads.punch(staging.Data(), r)
		whole = errors.Is(err, errors.ErrUnsupported)
	}
	if err == nil {
		return true, true
	}
	f.logFailure("let go", err)
	if !whole {
		return true, false
	}
	return staging.Note(journal.Retained{Range: r}) != nil, false
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

// keep has the next attempt know of a part that was sent, where it is one of the layout. A shorter one is not: the file
// may be longer by then.
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

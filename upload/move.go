package upload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

const (
	// copyPart, in bytes, is how much one request of a copy copies that is too large for one, so that several do it at the
	// same time; more only where the parts would be too many.
	copyPart = 1 << 30
	// copiesAtOnce bounds the requests of one large copy.
	copiesAtOnce = 8
)

// moveTask moves one object: by the store's own rename or, where it has none, by a copy on its side and the removal of
// what was copied. Doing it again after a crash at any point is right.
type moveTask struct {
	mover  *mover
	bucket objstore.Bucket
	log    *journal.Moves
	index  int64
	move   journal.Move

	// again: it may have been done in part before, so that a destination of the same content is this move's own work, and
	// a source that is not there was moved.
	again bool

	// change is made of what goes along with a copy in parts, and ranges are those parts; nil for none, and for a choice
	// of the task's own.
	change func(*objstore.Attributes)
	ranges []objstore.Range

	// unsettled: a multipart upload of this move may be left in the store. The log must stay.
	unsettled bool
}

func (t *moveTask) source() objstore.Version {
	return objstore.Version{Endpoint: t.bucket.Endpoint(), Bucket: t.bucket.Name(), Key: t.move.From, ETag: t.move.ETag, Size: t.move.Size}
}

// run moves the object, and returns what is under the new key now.
func (t *moveTask) run(ctx context.Context) (objstore.Entry, error) {
	if renamer, ok := objstore.AsRenamer(t.bucket); ok {
		err := renamer.Rename(ctx, t.move.To, t.source(), t.move.Condition)
		if !errors.Is(err, objstore.ErrUnsupported) {
			return t.renamed(ctx, err)
		}
	}
	e, err := t.copy(ctx)
	if err != nil {
		var gone bool
		if e, gone, err = t.settle(ctx, err); err != nil || gone {
			return e, err
		}
	}
	if err := t.remove(ctx); err != nil {
		return e, err
	}
	t.carry(e) // the source was what was copied until then
	return e, nil
}

// carry says that the bytes have another key, where that is sure.
func (t *moveTask) carry(e objstore.Entry) {
	if from, to := t.source(), objstore.VersionOf(t.bucket, e); to.ETag != "" && to.Size == from.Size {
		t.mover.renamed(from, to)
	}
}

// renamed looks at what the store's own rename came to.
func (t *moveTask) renamed(ctx context.Context, err error) (objstore.Entry, error) {
	if err != nil {
		e, gone, err := t.settle(ctx, err)
		if err == nil && !gone { // a copy of an earlier try stands there
			err = t.remove(ctx)
		}
		return e, err
	}
	e, err := t.bucket.Stat(ctx, t.move.To)
	if err != nil { // it has been moved all the same
		return objstore.Entry{Key: t.move.To, Size: t.move.Size, ETag: t.move.ETag}, nil
	}
	if e.ETag == t.move.ETag { // else somebody else may have put something there since
		t.carry(e)
	}
	return e, nil
}

// settle finds out what a refusal means: an earlier try that has come as far (nil; gone: the source has been removed
// too), or an error.
func (t *moveTask) settle(ctx context.Context, refusal error) (e objstore.Entry, gone bool, err error) {
	if !errors.Is(refusal, objstore.ErrExists) && !errors.Is(refusal, objstore.ErrChanged) && !errors.Is(refusal, objstore.ErrNotExist) || !t.again {
		return objstore.Entry{}, false, refusal
	}
	src, err := t.bucket.Stat(ctx, t.move.From)
	if errors.Is(err, objstore.ErrNotExist) {
		e, err = t.bucket.Stat(ctx, t.move.To)
		if errors.Is(err, objstore.ErrNotExist) {
			err = nil // somebody has removed it; there is nothing to be moved any more
		}
		return e, true, err
	} else if err != nil {
		return objstore.Entry{}, false, err
	}
	if src.ETag != t.move.ETag {
		return objstore.Entry{}, false, refusal
	}
	if e, err = t.bucket.Stat(ctx, t.move.To); err != nil {
		return objstore.Entry{}, false, errors.Join(refusal, err)
	}
	same, err := objstore.SameContent(ctx, t.bucket, t.source(), objstore.VersionOf(t.bucket, e))
	if err == nil && !same {
		err = refusal
	}
	if err == nil && strings.HasSuffix(t.move.To, "/") && !maps.Equal(src.Metadata, e.Metadata) { // the marker of an empty directory that is replaced says what that was
		e, err = t.makeAnew(ctx, objstore.Condition{})
	}
	if err != nil {
		return objstore.Entry{}, false, err
	}
	return e, false, nil
}

// copy copies under the condition of the move.
func (t *moveTask) copy(ctx context.Context) (objstore.Entry, error) {
	cond := t.move.Condition
	e, err := t.copyUnder(ctx, cond)
	if !errors.Is(err, objstore.ErrUnsupported) || cond == (objstore.Condition{}) {
		return e, err
	}
	// The store knows no conditions: looking first is what can be done.
	if err := t.look(ctx, cond); err != nil {
		return objstore.Entry{}, err
	}
	return t.copyUnder(ctx, objstore.Condition{})
}

// look checks a condition on what the new key holds.
func (t *moveTask) look(ctx context.Context, cond objstore.Condition) error {
	e, err := t.bucket.Stat(ctx, t.move.To)
	switch {
	case cond.IfNew && errors.Is(err, objstore.ErrNotExist):
		return nil
	case err != nil:
		return err
	case cond.IfNew:
		return fmt.Errorf("%s: %w", t.move.To, objstore.ErrExists)
	case e.ETag != cond.IfMatch:
		return fmt.Errorf("%s: %w", t.move.To, objstore.ErrChanged)
	}
	return nil
}

func (t *moveTask) copyUnder(ctx context.Context, cond objstore.Condition) (objstore.Entry, error) {
	if t.move.Size == 0 && strings.HasSuffix(t.move.From, "/") {
		return t.makeAnew(ctx, cond)
	}
	if t.move.Size <= t.mover.maxCopy {
		return t.bucket.Copy(ctx, t.move.To, t.source(), cond)
	}
	return t.copyParts(ctx, cond)
}

// makeAnew puts a directory's marker under the new key: stores that keep objects in folders do not copy one.
func (t *moveTask) makeAnew(ctx context.Context, cond objstore.Condition) (objstore.Entry, error) {
	e, err := t.bucket.Stat(ctx, t.move.From)
	if err != nil {
		return e, err
	}
	attrs, err := objstore.AttributesOf(ctx, t.bucket, e)
	if err != nil {
		return e, err
	}
	return t.bucket.Put(ctx, t.move.To, strings.NewReader(""), 0, cond, attrs)
}

// copyParts copies what is too large for one request. What goes along with the object is asked for first.
func (t *moveTask) copyParts(ctx context.Context, cond objstore.Condition) (e objstore.Entry, err error) {
	src, err := t.bucket.Stat(ctx, t.move.From)
	if err != nil {
		return e, err
	}
	attrs, err := objstore.AttributesOf(ctx, t.bucket, src)
	if err != nil {
		return e, err
	}
	if t.change != nil {
		t.change(&attrs)
	}
	attrs.Copies = true
	if err := t.log.Copying(t.index, t.mover.now()); err != nil {
		return e, err
	}
	t.unsettled = true
	id, err := t.bucket.CreateUpload(ctx, t.move.To, attrs)
	if err != nil && answered(err) {
		return e, errors.Join(err, t.copied())
	} else if err != nil {
		return e, err // recovery looks for it
	}
	if err := t.log.CopyID(t.index, id); err != nil {
		return e, errors.Join(err, t.abandon(ctx, id))
	}
	parts, err := t.sendParts(ctx, id)
	if err == nil {
		e, err = t.bucket.CompleteUpload(ctx, t.move.To, id, parts, cond)
	}
	if err != nil {
		return e, errors.Join(err, t.abandon(ctx, id))
	}
	return e, t.copied()
}

// copied notes that no multipart upload is left.
func (t *moveTask) copied() error {
	t.unsettled = false
	return t.log.Copied(t.index)
}

// answered tells whether the store has refused, rather than that nobody knows what it did.
func answered(err error) bool {
	switch objstore.KindOf(err) {
	case objstore.KindTransport, objstore.KindTimeout, objstore.KindCanceled:
		return false
	}
	return true
}

// sendParts has the store copy the parts, several at the same time.
func (t *moveTask) sendParts(ctx context.Context, id string) ([]objstore.Part, error) {
	ranges := t.ranges
	if ranges == nil {
		ranges = objstore.CopyRanges(t.move.Size, t.mover.copyPart)
	}
	parts := make([]objstore.Part, len(ranges))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for i, r := range ranges {
		g.Go(func() (err error) {
			parts[i], err = t.bucket.CopyPart(ctx, t.move.To, id, i+1, t.source(), r)
			if err == nil {
				t.mover.moved.Store(time.Now().UnixNano())
			}
			return err
		})
	}
	return parts, g.Wait()
}

// abandon aborts a copy that has failed. When that fails too, the journal knows.
func (t *moveTask) abandon(ctx context.Context, id string) error {
	if err := t.bucket.AbortUpload(ctx, t.move.To, id); err != nil {
		return err
	}
	return t.copied()
}

// remove deletes the source, if it is still what was copied.
func (t *moveTask) remove(ctx context.Context) error {
	if t.move.From == t.move.To {
		return nil
	}
	return t.mover.removeVersion(ctx, t.bucket, t.source())
}

// below is what a key below one prefix is called below another.
func below(key, from, to string) string { return to + strings.TrimPrefix(key, from) }

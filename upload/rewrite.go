package upload

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// Rewrite gives a stored object other attributes, by a copy onto itself on the store's side, and returns what is there
// then. The bytes are the same, the ETag may be another. change is called with what the object has. Whoever asked may
// stop waiting; it goes on.
//
// Errors: objstore.ErrChanged when the key does not hold v any more. What else the store says.
func (u *Uploads) Rewrite(ctx context.Context, b objstore.Bucket, v objstore.Version, change func(*objstore.Attributes)) (objstore.Entry, error) {
	return detached(ctx, u.mover, func(ctx context.Context) (objstore.Entry, error) {
		e, err := u.rewrite(ctx, b, v, change)
		if err == nil && e.ETag != "" && e.ETag != v.ETag {
			to := v
			to.ETag = e.ETag
			u.cfg.Renamed(v, to) // what is cached of it stays good
		}
		return e, err
	})
}

// partsETag matches the ETags of objects that were stored in parts, on AWS and most stores. To copy one whole would
// make it one of one part, with another ETag.
var partsETag = regexp.MustCompile(`-[0-9]+$`)

func (u *Uploads) rewrite(ctx context.Context, b objstore.Bucket, v objstore.Version, change func(*objstore.Attributes)) (e objstore.Entry, err error) {
	if e, err = b.Stat(ctx, v.Key); err != nil {
		return e, err
	}
	if e.ETag != v.ETag {
		return e, fmt.Errorf("%s: %w", v.Key, objstore.ErrChanged)
	}
	cond := objstore.Condition{IfMatch: v.ETag}
	if v.Size > u.mover.maxCopy || partsETag.MatchString(v.ETag) && v.Size > u.sizes.part {
		return u.mover.rewriteParts(ctx, b, v, u.sizes, change)
	}
	attrs, err := objstore.AttributesOf(ctx, b, e)
	if err != nil {
		return e, err
	}
	change(&attrs)
	write := func(cond objstore.Condition) (objstore.Entry, error) {
		if v.Size == 0 { // stores that keep objects in folders do not copy a directory's marker
			return b.Put(ctx, v.Key, strings.NewReader(""), 0, cond, attrs)
		}
		return b.CopyWith(ctx, v.Key, v, cond, attrs)
	}
	if e, err = write(cond); errors.Is(err, objstore.ErrUnsupported) { // the copy's own condition, on its source, stays
		e, err = write(objstore.Condition{})
	}
	return e, err
}

// rewriteParts is a rewrite in the parts that the object would have been stored in, so that its ETag stays if it was.
// What is left of one that a crash ends is aborted as that of a rename is, by a log of one from the key to itself;
// there is nothing to be finished.
func (m *mover) rewriteParts(ctx context.Context, b objstore.Bucket, v objstore.Version, z *sizes, change func(*objstore.Attributes)) (objstore.Entry, error) {
	one := journal.Move{From: v.Key, To: v.Key, ETag: v.ETag, Size: v.Size, Condition: objstore.Condition{IfMatch: v.ETag}}
	log, release, err := m.begin(b, v.Key, v.Key)
	if err != nil {
		return objstore.Entry{}, err
	}
	defer release()
	if err := errors.Join(log.Plan([]journal.Move{one}), log.Listed()); err != nil {
		return objstore.Entry{}, errors.Join(err, log.Remove())
	}
	t := moveTask{mover: m, bucket: b, log: log, move: one, change: change}
	for off, number := int64(0), 1; off < v.Size; number++ {
		r := z.at(number).Intersect(objstore.Range{Len: v.Size})
		t.ranges, off = append(t.ranges, r), r.End()
	}
	e, err := t.copyParts(ctx, one.Condition)
	if errors.Is(err, objstore.ErrUnsupported) {
		e, err = t.copyParts(ctx, objstore.Condition{})
	}
	if err != nil && t.unsettled {
		return e, errors.Join(err, log.Close()) // the next mount aborts what is left
	}
	return e, errors.Join(err, log.Remove())
}

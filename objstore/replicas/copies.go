package replicas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

// stripe is the size of a copy's parts, in bytes, where it is larger than one: LOTA spreads them.
const stripe = 64 << 20

// Plan says how many copies there are to be.
type Plan struct {
	Copies   int // 0 removes them all
	Now      time.Time
	Progress func(bytes int64) // is told what was copied, from several goroutines; nil for nobody
}

// Make sees to it that an object has so many copies of its present content, and says what it has. Copies that are right already stay, and those above the number go. The manifest is written when
// the copies are there, and removed before they go.
func Make(ctx context.Context, b objstore.Bucket, e objstore.Entry, p Plan) (Manifest, error) {
	if p.Copies < 0 || p.Copies > MaxCopies {
		return Manifest{}, fmt.Errorf("%d copies are not between 0 and %d: %w", p.Copies, MaxCopies, objstore.ErrInvalid)
	}
	old, found, err := present(ctx, b, e.Key)
	if err != nil {
		return old, err
	}
	m := Manifest{Key: e.Key, ETag: e.ETag, Size: e.Size, Made: p.Now}
	for n := 1; n <= p.Copies; n++ {
		c, err := ensure(ctx, b, e, old, n, p.Progress)
		if err != nil {
			return old, err
		}
		m.Copies = append(m.Copies, c)
	}
	now, err := b.Stat(ctx, e.Key)
	if err == nil && now.ETag != e.ETag {
		err = fmt.Errorf("%s was replaced meanwhile: %w", e.Key, objstore.ErrChanged)
	}
	if err != nil && p.Copies > 0 {
		return old, err
	}
	switch {
	case p.Copies > 0:
		err = m.store(ctx, b, found)
	case found.ETag != "":
		err = b.Delete(ctx, found.Key)
	}
	if err != nil {
		return old, err
	}
	for _, c := range old.Copies {
		if !slices.ContainsFunc(m.Copies, func(kept Copy) bool { return kept.Key == c.Key }) {
			err = errors.Join(err, b.Delete(ctx, c.Key))
		}
	}
	return m, err
}

// present is the manifest there is, and where it was found; both are empty when there is none.
func present(ctx context.Context, b objstore.Bucket, key string) (m Manifest, found objstore.Entry, err error) {
	found, err = b.Stat(ctx, ManifestKey(key))
	if errors.Is(err, objstore.ErrNotExist) {
		return m, objstore.Entry{}, nil
	}
	if err == nil {
		m, err = load(ctx, b, found)
	}
	return m, found, err
}

// ensure makes a copy, unless it is there.
func ensure(ctx context.Context, b objstore.Bucket, e objstore.Entry, old Manifest, n int, progress func(int64)) (Copy, error) {
	src := objstore.VersionOf(b, e)
	c := Copy{Key: CopyKey(e.Key, n)}
	if old.of(src) {
		if i := slices.IndexFunc(old.Copies, func(o Copy) bool { return o.Key == c.Key }); i >= 0 {
			if there, err := b.Stat(ctx, c.Key); err == nil && there.ETag == old.Copies[i].ETag && there.Size == e.Size {
				return old.Copies[i], nil
			}
		}
	}
	var made objstore.Entry
	var err error
	if e.Size <= stripe {
		made, err = objstore.CopyObject(ctx, b, c.Key, src, objstore.Condition{})
		if err == nil && progress != nil {
			progress(e.Size)
		}
	} else {
		var attrs objstore.Attributes
		if attrs, err = objstore.AttributesOf(ctx, b, e); err == nil {
			made, err = objstore.CopyParts(ctx, b, c.Key, src, objstore.CopyRanges(e.Size, stripe), objstore.CopyPlan{Attributes: attrs, Progress: progress})
		}
	}
	c.ETag = made.ETag
	return c, err
}

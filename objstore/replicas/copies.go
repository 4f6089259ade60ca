package replicas

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore"
)

// stripe is the size of a copy's parts, in bytes, where it is larger than one: LOTA spreads them.
const stripe = 64 << 20

// Plan says how many copies there are to be.
type Plan struct {
	Copies   int // 0 removes them all, of an object that is gone as well
	Now      time.Time
	Progress func(bytes int64)  // is told what was copied, from several goroutines; nil for nobody
	Log      objstore.UploadLog // of copies in parts; nil for none
}

// Make sees to it that an object has so many copies of its present content, and says what it has. Copies that are right
// already stay, and those above the number go. At every moment the manifest names no copy as one to be read that is not
// there, and knows of all that may be there: whoever is killed half-way leaves what the next run finishes or removes.
func Make(ctx context.Context, b objstore.Bucket, e objstore.Entry, p Plan) (Manifest, error) {
	switch longest := len(CopyKey(e.Key, MaxCopies)); {
	case p.Copies < 0 || p.Copies > MaxCopies:
		return Manifest{}, fmt.Errorf("%d copies are not between 0 and %d: %w", p.Copies, MaxCopies, objstore.ErrInvalid)
	case p.Copies > 0 && longest > objstore.MaxKey:
		return Manifest{}, fmt.Errorf("its copies' keys would have up to %d bytes, of %d that can be: %w", longest, objstore.MaxKey, objstore.ErrInvalid)
	case p.Copies > 0 && !utf8.ValidString(e.Key): // which a manifest cannot say
		return Manifest{}, fmt.Errorf("its key is not UTF-8: %w", objstore.ErrInvalid)
	}
	m := maker{bucket: b, object: e, plan: p}
	err := m.look(ctx)
	switch {
	case err != nil:
	case p.Copies == 0:
		err = m.remove(ctx)
	default:
		err = m.make(ctx)
	}
	return m.manifest, err
}

// maker makes and removes the copies of one object.
type maker struct {
	bucket objstore.Bucket
	object objstore.Entry
	plan   Plan

	manifest Manifest       // as it is stored
	found    objstore.Entry // where; no ETag where none is
	most     int            // the highest number of a copy that may be there
}

// look finds the manifest there is. Of one that cannot be read, any copies may be there.
func (m *maker) look(ctx context.Context) (err error) {
	m.found, err = m.bucket.Stat(ctx, ManifestKey(m.object.Key))
	if errors.Is(err, objstore.ErrNotExist) {
		m.found = objstore.Entry{}
		return nil
	}
	if err == nil {
		m.manifest, err = load(ctx, m.bucket, m.found)
		m.most = m.manifest.most()
	}
	if errors.Is(err, errNoManifest) {
		m.most, err = MaxCopies, nil
	}
	return err
}

func (m *maker) store(ctx context.Context, manifest Manifest) error {
	now, err := manifest.store(ctx, m.bucket, m.found)
	if err == nil {
		m.manifest, m.found = manifest, now
	}
	return err
}

// make has the copies be there, the manifest name them, and none be left above their number.
func (m *maker) make(ctx context.Context) error {
	e, n := m.object, m.plan.Copies
	next := Manifest{Key: e.Key, ETag: e.ETag, Size: e.Size, Made: m.plan.Now}
	if n > m.most {
		begun := next
		if m.manifest.of(objstore.VersionOf(m.bucket, e)) {
			begun.Copies = m.manifest.Copies
		}
		begun.Begun, m.most = n, n
		if err := m.store(ctx, begun); err != nil {
			return err
		}
	}
	made := false
	for i := 1; i <= n; i++ {
		c, there, err := m.ensure(ctx, i)
		if err != nil {
			return err
		}
		next.Copies, made = append(next.Copies, c), made || !there
	}
	now, err := m.bucket.Stat(ctx, e.Key)
	if err == nil && now.ETag != e.ETag {
		err = fmt.Errorf("%s was replaced meanwhile: %w", e.Key, objstore.ErrChanged)
	}
	if err != nil || !made && m.most == n && m.manifest.Begun == 0 && len(m.manifest.Copies) == n {
		return err // all of it is as it should be
	}
	if m.most > n {
		next.Begun = m.most
	}
	if err := m.store(ctx, next); err != nil || next.Begun == 0 {
		return err
	}
	if err := m.delete(ctx, n+1); err != nil {
		return err
	}
	next.Begun = 0
	return m.store(ctx, next)
}

// remove has no copy be there, nor a manifest. Nobody reads the copies any more when they go.
func (m *maker) remove(ctx context.Context) error {
	if m.found.ETag == "" {
		return nil
	}
	if len(m.manifest.Copies) > 0 {
		last := m.manifest
		last.Copies, last.Begun = nil, m.most
		if err := m.store(ctx, last); err != nil {
			return err
		}
	}
	if err := m.delete(ctx, 1); err != nil {
		return err
	}
	err := m.bucket.Delete(ctx, m.found.Key)
	if err == nil {
		m.manifest = Manifest{}
	}
	return err
}

// delete removes the copies from a number on.
func (m *maker) delete(ctx context.Context, from int) (err error) {
	for n := from; n <= m.most; n++ {
		err = errors.Join(err, m.bucket.Delete(ctx, CopyKey(m.object.Key, n)))
	}
	return err
}

// ensure makes a copy, unless it is there.
func (m *maker) ensure(ctx context.Context, n int) (c Copy, there bool, err error) {
	b, e := m.bucket, m.object
	src := objstore.VersionOf(b, e)
	c.Key = CopyKey(e.Key, n)
	if m.manifest.of(src) && n <= len(m.manifest.Copies) {
		was := m.manifest.Copies[n-1]
		if now, err := b.Stat(ctx, c.Key); err == nil && now.ETag == was.ETag && now.Size == e.Size {
			return was, true, nil
		}
	}
	var made objstore.Entry
	if e.Size <= stripe {
		made, err = objstore.CopyObject(ctx, b, c.Key, src, objstore.CopyPlan{})
		if err == nil && m.plan.Progress != nil {
			m.plan.Progress(e.Size)
		}
	} else {
		var attrs objstore.Attributes
		if attrs, err = objstore.AttributesOf(ctx, b, e); err == nil {
			made, err = objstore.CopyParts(ctx, b, c.Key, src, objstore.CopyRanges(e.Size, stripe), objstore.CopyPlan{Attributes: attrs, Progress: m.plan.Progress, Log: m.plan.Log})
		}
	}
	c.ETag = made.ETag
	return c, false, err
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// ranges: a part of an object is that part.
func (p *prober) ranges(ctx context.Context) error {
	e, err := p.bucket.Stat(ctx, p.prefix+"object")
	if err != nil {
		return err
	}
	got, err := p.read(ctx, e, objstore.Range{Off: 9, Len: 6})
	if err == nil && got != probedObjectText[9:15] {
		err = fmt.Errorf("bytes 9 to 14 came as %q", got)
	}
	return err
}

// otherETag is one that no object of a probe has.
const otherETag = "0123456789abcdef0123456789abcdef"

// refused turns the answer to a write that must not happen into what it says of the store.
func refused(err, want error) error {
	switch {
	case err == nil:
		return errors.New("the condition is ignored: the write was done")
	case errors.Is(err, want):
		return nil
	}
	return err
}

func (p *prober) createOnly(ctx context.Context) error {
	if _, err := p.put(ctx, "created", objstore.Condition{IfNew: true}); err != nil {
		return err
	}
	_, err := p.put(ctx, "created", objstore.Condition{IfNew: true})
	return refused(err, objstore.ErrExists)
}

func (p *prober) replaceOnly(ctx context.Context) error {
	e, err := p.bucket.Stat(ctx, p.prefix+"object")
	if err != nil {
		return err
	}
	if _, err := p.put(ctx, "object", objstore.Condition{IfMatch: e.ETag}); err != nil {
		return err
	}
	_, err = p.put(ctx, "object", objstore.Condition{IfMatch: otherETag})
	return refused(err, objstore.ErrChanged)
}

// upload begins a multipart upload with one part.
func (p *prober) upload(ctx context.Context, name string, attrs objstore.Attributes, part func(key, id string) (objstore.Part, error)) (id string, parts []objstore.Part, err error) {
	key := p.prefix + name
	if id, err = p.bucket.CreateUpload(ctx, key, attrs); err != nil {
		return id, nil, err
	}
	p.begun = append(p.begun, objstore.Upload{Key: key, ID: id})
	sent, err := part(key, id)
	return id, []objstore.Part{sent}, err
}

// completeOnly: an upload whose end was refused is another one's matter than the next.
func (p *prober) completeOnly(ctx context.Context) error {
	for want, cond := range map[error]objstore.Condition{objstore.ErrExists: {IfNew: true}, objstore.ErrChanged: {IfMatch: otherETag}} {
		id, parts, err := p.upload(ctx, "object", objstore.Attributes{}, func(key, id string) (objstore.Part, error) {
			return p.bucket.UploadPart(ctx, key, id, 1, strings.NewReader(probedObjectText), int64(len(probedObjectText)))
		})
		if err != nil {
			return err
		}
		_, err = p.bucket.CompleteUpload(ctx, p.prefix+"object", id, parts, cond)
		if err := refused(err, want); err != nil {
			return err
		}
	}
	return nil
}

// copyOnly: a copy goes where nothing is, and over nothing.
func (p *prober) copyOnly(ctx context.Context) error {
	e, err := p.bucket.Stat(ctx, p.prefix+"object")
	if err != nil {
		return err
	}
	src := objstore.VersionOf(p.bucket, e)
	if _, err := p.bucket.Copy(ctx, p.prefix+"twin", src, objstore.Condition{IfNew: true}); err != nil {
		return err
	}
	_, err = p.bucket.Copy(ctx, p.prefix+"twin", src, objstore.Condition{IfNew: true})
	return refused(err, objstore.ErrExists)
}

func (p *prober) copyParts(ctx context.Context) error {
	src, err := p.bucket.Stat(ctx, p.prefix+"object")
	if err != nil {
		return err
	}
	id, parts, err := p.upload(ctx, "copied", objstore.Attributes{Copies: true}, func(key, id string) (objstore.Part, error) {
		return p.bucket.CopyPart(ctx, key, id, 1, objstore.VersionOf(p.bucket, src), objstore.Range{Len: src.Size})
	})
	if err != nil {
		return err
	}
	e, err := p.bucket.CompleteUpload(ctx, p.prefix+"copied", id, parts, objstore.Condition{})
	if err != nil {
		return err
	}
	return p.isCopy(ctx, e)
}

// isCopy makes sure that an object has the content that was written.
func (p *prober) isCopy(ctx context.Context, e objstore.Entry) error {
	if e.Size = int64(len(probedObjectText)); e.ETag == "" {
		return errors.New("it has no ETag")
	}
	got, err := p.read(ctx, e, objstore.Range{Len: e.Size})
	if err == nil && got != probedObjectText {
		err = fmt.Errorf("its content is another: %q", got)
	}
	return err
}

// rename: stores that do not know the request take it for the PUT of an empty object.
func (p *prober) rename(ctx context.Context) error {
	renamer, ok := objstore.AsRenamer(p.bucket)
	if !ok {
		return objstore.ErrUnsupported
	}
	src, err := p.put(ctx, "created", objstore.Condition{})
	if err != nil {
		return err
	}
	if err := renamer.Rename(ctx, p.prefix+"renamed", objstore.VersionOf(p.bucket, src), objstore.Condition{IfNew: true}); err != nil {
		return err
	}
	e, err := p.bucket.Stat(ctx, p.prefix+"renamed")
	if err != nil {
		return err
	}
	if e.Size != src.Size {
		return fmt.Errorf("the request was taken, and made an object of %d bytes: it is not known to this store", e.Size)
	}
	if _, err := p.bucket.Stat(ctx, p.prefix+"created"); !errors.Is(err, objstore.ErrNotExist) {
		return fmt.Errorf("the source is still there (%v)", err)
	}
	return p.isCopy(ctx, e)
}

// deleteOnly: what is there stays when another is to be removed.
func (p *prober) deleteOnly(ctx context.Context) error {
	deleter, ok := objstore.AsVersionDeleter(p.bucket)
	if !ok {
		return objstore.ErrUnsupported
	}
	e, err := p.put(ctx, "created", objstore.Condition{})
	if err != nil {
		return err
	}
	other := objstore.VersionOf(p.bucket, e)
	other.ETag = otherETag
	if err := refused(deleter.DeleteVersion(ctx, other), objstore.ErrChanged); err != nil {
		return err
	}
	return deleter.DeleteVersion(ctx, objstore.VersionOf(p.bucket, e))
}

// listed are names whose order tells that of a listing: by bytes, and neither by letters nor level by level.
var listed = []string{"list/B", "list/a-b", "list/a.b", "list/a/b", "list/b"}

func (p *prober) listOrder(ctx context.Context) error {
	for _, name := range listed {
		if _, err := p.put(ctx, name, objstore.Condition{}); err != nil {
			return err
		}
	}
	got, err := p.list(ctx, "list/")
	if err == nil && !slices.Equal(got, listed) {
		err = fmt.Errorf("they come as %q", got)
	}
	return err
}

func (p *prober) listAfterWrite(ctx context.Context) error {
	const name = "list/b"
	if err := p.bucket.Delete(ctx, p.prefix+name); err != nil {
		return err
	}
	got, err := p.list(ctx, name)
	if err != nil {
		return err
	}
	if len(got) > 0 {
		return errors.New("what was removed is listed")
	}
	if _, err := p.put(ctx, name, objstore.Condition{}); err != nil {
		return err
	}
	if got, err = p.list(ctx, name); err == nil && len(got) == 0 {
		err = errors.New("what was just written is not listed")
	}
	return err
}

func (p *prober) list(ctx context.Context, below string) (names []string, err error) {
	for page, err := range p.bucket.List(ctx, objstore.ListOptions{Prefix: p.prefix + below}) {
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			names = append(names, strings.TrimPrefix(e.Key, p.prefix))
		}
	}
	return names, nil
}

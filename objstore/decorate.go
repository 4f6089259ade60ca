package objstore

import (
	"context"
	"io"
)

// request is one question to the store, as the decorators see it.
type request struct {
	op   Op
	key  string
	sent int64 // bytes of body that go along with it
}

// through is a Bucket whose requests go through do, which must call its function to have the request made. Decorators
// embed it, and write those methods themselves whose answers are streams: Open, List and ListUploads.
type through struct {
	inner Bucket
	do    func(ctx context.Context, q request, call func(context.Context) error) error
}

func (t *through) Name() string     { return t.inner.Name() }
func (t *through) Endpoint() string { return t.inner.Endpoint() }

// Unwrap gives the bucket below.
func (t *through) Unwrap() Bucket { return t.inner }

func (t *through) Stat(ctx context.Context, key string) (e Entry, err error) {
	err = t.do(ctx, request{op: OpStat, key: key}, func(ctx context.Context) (err error) {
		e, err = t.inner.Stat(ctx, key)
		return err
	})
	return e, err
}

func (t *through) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond Condition, attrs Attributes) (e Entry, err error) {
	err = t.do(ctx, request{op: OpPut, key: key, sent: size}, func(ctx context.Context) (err error) {
		e, err = t.inner.Put(ctx, key, body, size, cond, attrs)
		return err
	})
	return e, err
}

func (t *through) CreateUpload(ctx context.Context, key string, attrs Attributes) (id string, err error) {
	err = t.do(ctx, request{op: OpCreateUpload, key: key}, func(ctx context.Context) (err error) {
		id, err = t.inner.CreateUpload(ctx, key, attrs)
		return err
	})
	return id, err
}

func (t *through) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (p Part, err error) {
	err = t.do(ctx, request{op: OpUploadPart, key: key, sent: size}, func(ctx context.Context) (err error) {
		p, err = t.inner.UploadPart(ctx, key, uploadID, number, body, size)
		return err
	})
	return p, err
}

func (t *through) CopyPart(ctx context.Context, key, uploadID string, number int, src Version, r Range) (p Part, err error) {
	err = t.do(ctx, request{op: OpCopyPart, key: key}, func(ctx context.Context) (err error) {
		p, err = t.inner.CopyPart(ctx, key, uploadID, number, src, r)
		return err
	})
	return p, err
}

func (t *through) CompleteUpload(ctx context.Context, key, uploadID string, parts []Part, cond Condition) (e Entry, err error) {
	err = t.do(ctx, request{op: OpCompleteUpload, key: key}, func(ctx context.Context) (err error) {
		e, err = t.inner.CompleteUpload(ctx, key, uploadID, parts, cond)
		return err
	})
	return e, err
}

func (t *through) AbortUpload(ctx context.Context, key, uploadID string) error {
	return t.do(ctx, request{op: OpAbortUpload, key: key}, func(ctx context.Context) error {
		return t.inner.AbortUpload(ctx, key, uploadID)
	})
}

func (t *through) Copy(ctx context.Context, key string, src Version, cond Condition) (e Entry, err error) {
	err = t.do(ctx, request{op: OpCopy, key: key}, func(ctx context.Context) (err error) {
		e, err = t.inner.Copy(ctx, key, src, cond)
		return err
	})
	return e, err
}

func (t *through) CopyWith(ctx context.Context, key string, src Version, cond Condition, attrs Attributes) (e Entry, err error) {
	err = t.do(ctx, request{op: OpCopy, key: key}, func(ctx context.Context) (err error) {
		e, err = t.inner.CopyWith(ctx, key, src, cond, attrs)
		return err
	})
	return e, err
}

func (t *through) Delete(ctx context.Context, key string) error {
	return t.do(ctx, request{op: OpDelete, key: key}, func(ctx context.Context) error {
		return t.inner.Delete(ctx, key)
	})
}

// DeleteVersion fails with ErrUnsupported when no store below has the power.
func (t *through) DeleteVersion(ctx context.Context, v Version) error {
	deleter, ok := AsVersionDeleter(t.inner)
	if !ok {
		return unsupported(t.inner, OpDelete, v.Key)
	}
	return t.do(ctx, request{op: OpDelete, key: v.Key}, func(ctx context.Context) error {
		return deleter.DeleteVersion(ctx, v)
	})
}

// Tags fails with ErrUnsupported when no store below has the power.
func (t *through) Tags(ctx context.Context, key string) (tags string, err error) {
	tagger, ok := AsTagger(t.inner)
	if !ok {
		return "", unsupported(t.inner, OpTags, key)
	}
	err = t.do(ctx, request{op: OpTags, key: key}, func(ctx context.Context) (err error) {
		tags, err = tagger.Tags(ctx, key)
		return err
	})
	return tags, err
}

// Rename fails with ErrUnsupported when no store below has the power.
func (t *through) Rename(ctx context.Context, key string, src Version, cond Condition) error {
	renamer, ok := AsRenamer(t.inner)
	if !ok {
		return unsupported(t.inner, OpRename, key)
	}
	return t.do(ctx, request{op: OpRename, key: key}, func(ctx context.Context) error {
		return renamer.Rename(ctx, key, src, cond)
	})
}

// Prestage fails with ErrUnsupported when no store below has the power.
func (t *through) Prestage(ctx context.Context, key string) error {
	prestager, ok := AsPrestager(t.inner)
	if !ok {
		return unsupported(t.inner, OpPrestage, key)
	}
	return t.do(ctx, request{op: OpPrestage, key: key}, func(ctx context.Context) error {
		return prestager.Prestage(ctx, key)
	})
}

func unsupported(b Bucket, op Op, key string) error {
	return &Error{Op: op.String(), Bucket: b.Name(), Key: key, Err: ErrUnsupported}
}

// classOf is the class of a request: its ticket's now, else its operation's.
func classOf(ctx context.Context, op Op) Class {
	if t, ok := ctx.Value(ticketKey{}).(*Ticket); ok {
		return t.Class()
	}
	return op.Class()
}

package objstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
)

// refused tells whether err can be the effect of a first attempt that was done: the new object stands in its own way,
// or what was to be moved or completed is gone.
func refused(err error) bool {
	return errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNotExist)
}

func (r *retry) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond Condition, attrs Attributes) (e Entry, err error) {
	rewind, err := rewinder(body)
	if err != nil {
		return Entry{}, r.unreadable(OpPut, key, err)
	}
	put := func() error {
		if err := rewind(); err != nil {
			return r.unreadable(OpPut, key, err)
		}
		e, err = r.inner.Put(ctx, key, body, size, cond, attrs)
		return err
	}
	settle := func(refusal error) error {
		if err := rewind(); err != nil {
			return refusal
		}
		sum := md5.New()
		if _, err := io.CopyN(sum, body, size); err != nil {
			return refusal
		}
		e, err = r.confirm(ctx, key, hex.EncodeToString(sum.Sum(nil)), size, refusal)
		if writer := attrs.Metadata[WriterMetadata]; err == nil && writer != "" && e.Metadata[WriterMetadata] != writer {
			err = refusal
		}
		return err
	}
	err = r.againWrite(ctx, request{op: OpPut, key: key}, put, settle)
	return e, err
}

func (r *retry) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (p Part, err error) {
	rewind, err := rewinder(body)
	if err != nil {
		return Part{}, r.unreadable(OpUploadPart, key, err)
	}
	err = r.again(ctx, request{op: OpUploadPart, key: key}, func(ctx context.Context) (err error) {
		if err := rewind(); err != nil {
			return r.unreadable(OpUploadPart, key, err)
		}
		p, err = r.inner.UploadPart(ctx, key, uploadID, number, body, size)
		return err
	})
	return p, err
}

func (r *retry) CompleteUpload(ctx context.Context, key, uploadID string, parts []Part, cond Condition) (e Entry, err error) {
	var wrong error // the object is there, and by the store's own word it is not what the parts are: its ETag, which is made of theirs, says nothing against that
	complete := func() error {
		if e, err = r.inner.CompleteUpload(ctx, key, uploadID, parts, cond); errors.Is(err, ErrCorrupt) && e.ETag != "" {
			wrong = err
		}
		return err
	}
	settle := func(refusal error) error {
		if wrong != nil {
			return wrong
		}
		etag, size, ok := multipartETag(parts)
		if !ok {
			return refusal
		}
		e, err = r.confirm(ctx, key, etag, size, refusal)
		return err
	}
	err = r.againWrite(ctx, request{op: OpCompleteUpload, key: key}, complete, settle)
	return e, err
}

func (r *retry) Copy(ctx context.Context, key string, src Version, cond Condition) (e Entry, err error) {
	copied := func() error {
		e, err = r.inner.Copy(ctx, key, src, cond)
		return err
	}
	settle := func(refusal error) error {
		e, err = r.confirm(ctx, key, src.ETag, src.Size, refusal)
		return err
	}
	err = r.againWrite(ctx, request{op: OpCopy, key: key}, copied, settle)
	return e, err
}

// CopyWith may be of a key onto itself, which leaves the ETag as it was: whether it was done is seen by what goes
// along.
func (r *retry) CopyWith(ctx context.Context, key string, src Version, cond Condition, attrs Attributes) (e Entry, err error) {
	copied := func() error {
		e, err = r.inner.CopyWith(ctx, key, src, cond, attrs)
		return err
	}
	settle := func(refusal error) error {
		if e, err = r.confirm(ctx, key, src.ETag, src.Size, refusal); err == nil && !maps.Equal(e.Metadata, attrs.Metadata) {
			err = refusal
		}
		return err
	}
	err = r.againWrite(ctx, request{op: OpCopy, key: key}, copied, settle)
	return e, err
}

// Rename fails with ErrUnsupported when no store below has the power.
func (r *retry) Rename(ctx context.Context, key string, src Version, cond Condition) error {
	renamer, ok := AsRenamer(r.inner)
	if !ok {
		return unsupported(r.inner, OpRename, key)
	}
	rename := func() error { return renamer.Rename(ctx, key, src, cond) }
	settle := func(refusal error) error {
		_, err := r.confirm(ctx, key, src.ETag, src.Size, refusal)
		return err
	}
	return r.againWrite(ctx, request{op: OpRename, key: key}, rename, settle)
}

// confirm returns the entry of key if it is what the write would have made, else the refusal.
func (r *retry) confirm(ctx context.Context, key, etag string, size int64, refusal error) (Entry, error) {
	e, err := r.Stat(ctx, key)
	if err != nil || e.ETag != etag || e.Size != size {
		return Entry{}, refusal
	}
	return e, nil
}

// multipartETag is the ETag that stores with MD5 ETags give a completed upload: the MD5 of the parts' MD5s, a dash and
// their number. ok is false when the parts' ETags are not MD5 sums.
func multipartETag(parts []Part) (etag string, size int64, ok bool) {
	sum := md5.New()
	for _, p := range parts {
		raw, err := hex.DecodeString(p.ETag)
		if err != nil || len(raw) != md5.Size {
			return "", 0, false
		}
		sum.Write(raw)
		size += p.Size
	}
	return fmt.Sprintf("%x-%d", sum.Sum(nil), len(parts)), size, true
}

// unreadable is the error for a body of the caller's that cannot be rewound: no further attempt can cure it.
func (r *retry) unreadable(op Op, key string, err error) error {
	return &Error{Op: op.String(), Bucket: r.inner.Name(), Key: key, Err: fmt.Errorf("%w: cannot rewind the body: %w", ErrInvalid, err)}
}

package hashed

import (
	"context"
	"io"
	"iter"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// wrote takes a write over into the index. What a failed one has done is found out by the next making of it.
func (b *Bucket) wrote(e objstore.Entry, key string, err error) (objstore.Entry, error) {
	e = plain(e, key)
	if err == nil && strings.HasPrefix(key, b.index.options.Prefix) {
		b.index.change(e, false)
	}
	return e, about(err, key)
}

func (b *Bucket) removed(key string) {
	if strings.HasPrefix(key, b.index.options.Prefix) {
		b.index.change(objstore.Entry{Key: key}, true)
	}
}

// Put stores an object.
func (b *Bucket) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	e, err := b.inner.Put(ctx, Encode(key), body, size, cond, attrs)
	if err == nil {
		e.StorageClass = attrs.StorageClass
	}
	return b.wrote(e, key, err)
}

// CreateUpload begins a multipart upload.
func (b *Bucket) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (string, error) {
	id, err := b.inner.CreateUpload(ctx, Encode(key), attrs)
	return id, about(err, key)
}

// UploadPart stores a part.
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (objstore.Part, error) {
	part, err := b.inner.UploadPart(ctx, Encode(key), uploadID, number, body, size)
	return part, about(err, key)
}

// CopyPart makes a part of stored bytes.
func (b *Bucket) CopyPart(ctx context.Context, key, uploadID string, number int, src objstore.Version, r objstore.Range) (objstore.Part, error) {
	part, err := b.inner.CopyPart(ctx, Encode(key), uploadID, number, b.stored(src), r)
	return part, about(err, key, src.Key)
}

// CompleteUpload makes the object.
func (b *Bucket) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	e, err := b.inner.CompleteUpload(ctx, Encode(key), uploadID, parts, cond)
	return b.wrote(e, key, err)
}

// AbortUpload gives an upload up.
func (b *Bucket) AbortUpload(ctx context.Context, key, uploadID string) error {
	return about(b.inner.AbortUpload(ctx, Encode(key), uploadID), key)
}

// ListUploads yields the uploads under way whose plain keys begin with prefix: all uploads of the bucket are gone
// through.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[objstore.Upload, error] {
	return func(yield func(objstore.Upload, error) bool) {
		for u, err := range b.inner.ListUploads(ctx, "") {
			if err != nil {
				yield(u, err)
				return
			}
			key, ok := Decode(u.Key)
			if !ok || !strings.HasPrefix(key, prefix) {
				continue
			}
			u.Key = key
			if !yield(u, nil) {
				return
			}
		}
	}
}

// Copy copies an object.
func (b *Bucket) Copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) (objstore.Entry, error) {
	e, err := b.inner.Copy(ctx, Encode(key), b.stored(src), cond)
	return b.wrote(e, key, about(err, src.Key))
}

// CopyWith copies an object with other attributes.
func (b *Bucket) CopyWith(ctx context.Context, key string, src objstore.Version, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	e, err := b.inner.CopyWith(ctx, Encode(key), b.stored(src), cond, attrs)
	return b.wrote(e, key, about(err, src.Key))
}

// Delete removes an object.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.inner.Delete(ctx, Encode(key))
	if err == nil {
		b.removed(key)
	}
	return about(err, key)
}

// DeleteVersion removes an object if it is still the one that is meant.
func (b *Bucket) DeleteVersion(ctx context.Context, v objstore.Version) error {
	deleter, ok := objstore.AsVersionDeleter(b.inner)
	if !ok {
		return b.fail(objstore.OpDelete, v.Key, objstore.ErrUnsupported)
	}
	err := deleter.DeleteVersion(ctx, b.stored(v))
	if err == nil {
		b.removed(v.Key)
	}
	return about(err, v.Key)
}

// Rename moves an object by the store's own rename.
func (b *Bucket) Rename(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) error {
	renamer, ok := objstore.AsRenamer(b.inner)
	if !ok {
		return b.fail(objstore.OpRename, key, objstore.ErrUnsupported)
	}
	err := renamer.Rename(ctx, Encode(key), b.stored(src), cond)
	if err == nil {
		_, _ = b.wrote(objstore.Entry{ETag: src.ETag, Size: src.Size}, key, nil)
		b.removed(src.Key)
	}
	return about(err, key, src.Key)
}

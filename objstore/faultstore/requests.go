package faultstore

import (
	"context"
	"io"
	"iter"

	"github.com/headrace/headrace/objstore"
)

// Name is the name of the bucket below.
func (s *Store) Name() string { return s.inner.Name() }

// Endpoint is the identity of the store below.
func (s *Store) Endpoint() string { return s.inner.Endpoint() }

// Unwrap gives the bucket below.
func (s *Store) Unwrap() objstore.Bucket { return s.inner }

// pass makes a request unless its fault says otherwise, and spoils the ETag at etag, if any.
func (s *Store) pass(ctx context.Context, op objstore.Op, key string, etag *string, call func() error) error {
	f := s.arrive(ctx, op, key, objstore.Range{})
	if err := s.refuse(ctx, f, op, key); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	if etag != nil && f.ETag != "" {
		*etag = f.ETag
	}
	return s.wrap(f.Lost, op, key)
}

// Stat passes HEAD on.
func (s *Store) Stat(ctx context.Context, key string) (e objstore.Entry, err error) {
	err = s.pass(ctx, objstore.OpStat, key, &e.ETag, func() (err error) {
		e, err = s.inner.Stat(ctx, key)
		return err
	})
	return e, err
}

// Put passes a write on.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (e objstore.Entry, err error) {
	err = s.pass(ctx, objstore.OpPut, key, &e.ETag, func() (err error) {
		e, err = s.inner.Put(ctx, key, body, size, cond, attrs)
		return err
	})
	return e, err
}

// CreateUpload passes the begin of an upload on.
func (s *Store) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (id string, err error) {
	err = s.pass(ctx, objstore.OpCreateUpload, key, nil, func() (err error) {
		id, err = s.inner.CreateUpload(ctx, key, attrs)
		return err
	})
	return id, err
}

// UploadPart passes a part on.
func (s *Store) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (p objstore.Part, err error) {
	err = s.pass(ctx, objstore.OpUploadPart, key, &p.ETag, func() (err error) {
		p, err = s.inner.UploadPart(ctx, key, uploadID, number, body, size)
		return err
	})
	return p, err
}

// CopyPart passes a copied part on.
func (s *Store) CopyPart(ctx context.Context, key, uploadID string, number int, src objstore.Version, r objstore.Range) (p objstore.Part, err error) {
	err = s.pass(ctx, objstore.OpCopyPart, key, &p.ETag, func() (err error) {
		p, err = s.inner.CopyPart(ctx, key, uploadID, number, src, r)
		return err
	})
	return p, err
}

// CompleteUpload passes the end of an upload on.
func (s *Store) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part, cond objstore.Condition) (e objstore.Entry, err error) {
	err = s.pass(ctx, objstore.OpCompleteUpload, key, &e.ETag, func() (err error) {
		e, err = s.inner.CompleteUpload(ctx, key, uploadID, parts, cond)
		return err
	})
	return e, err
}

// AbortUpload passes the undoing of an upload on.
func (s *Store) AbortUpload(ctx context.Context, key, uploadID string) error {
	return s.pass(ctx, objstore.OpAbortUpload, key, nil, func() error { return s.inner.AbortUpload(ctx, key, uploadID) })
}

// Copy passes a copy on.
func (s *Store) Copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) (e objstore.Entry, err error) {
	err = s.pass(ctx, objstore.OpCopy, key, &e.ETag, func() (err error) {
		e, err = s.inner.Copy(ctx, key, src, cond)
		return err
	})
	return e, err
}

// CopyWith passes a copy on.
func (s *Store) CopyWith(ctx context.Context, key string, src objstore.Version, cond objstore.Condition, attrs objstore.Attributes) (e objstore.Entry, err error) {
	err = s.pass(ctx, objstore.OpCopy, key, &e.ETag, func() (err error) {
		e, err = s.inner.CopyWith(ctx, key, src, cond, attrs)
		return err
	})
	return e, err
}

// Delete passes a removal on.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.pass(ctx, objstore.OpDelete, key, nil, func() error { return s.inner.Delete(ctx, key) })
}

// DeleteVersion passes a removal on; ErrUnsupported when no store below has the power.
func (s *Store) DeleteVersion(ctx context.Context, v objstore.Version) error {
	return s.pass(ctx, objstore.OpDelete, v.Key, nil, func() error {
		deleter, ok := objstore.AsVersionDeleter(s.inner)
		if !ok {
			return s.wrap(objstore.ErrUnsupported, objstore.OpDelete, v.Key)
		}
		return deleter.DeleteVersion(ctx, v)
	})
}

// Rename passes a move on; ErrUnsupported when no store below has the power.
func (s *Store) Rename(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) error {
	return s.pass(ctx, objstore.OpRename, key, nil, func() error {
		renamer, ok := objstore.AsRenamer(s.inner)
		if !ok {
			return s.wrap(objstore.ErrUnsupported, objstore.OpRename, key)
		}
		return renamer.Rename(ctx, key, src, cond)
	})
}

// Prestage passes a wish on; ErrUnsupported when no store below has the power.
func (s *Store) Prestage(ctx context.Context, key string) error {
	return s.pass(ctx, objstore.OpPrestage, key, nil, func() error {
		prestager, ok := objstore.AsPrestager(s.inner)
		if !ok {
			return s.wrap(objstore.ErrUnsupported, objstore.OpPrestage, key)
		}
		return prestager.Prestage(ctx, key)
	})
}

// List passes each page on as a request of its own: the n-th fault meets the n-th page.
func (s *Store) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		next, stop := iter.Pull2(s.inner.List(ctx, opts))
		defer stop()
		for last := false; !last; {
			f := s.arrive(ctx, objstore.OpList, opts.Prefix, objstore.Range{})
			if err := s.refuse(ctx, f, objstore.OpList, opts.Prefix); err != nil {
				yield(objstore.Page{}, err)
				return
			}
			page, err, ok := next()
			if !ok {
				return
			}
			if f.ETag != "" {
				for i := range page.Entries {
					page.Entries[i].ETag = f.ETag
				}
			}
			if !yield(page, err) || err != nil {
				return
			}
			last = page.Last
		}
	}
}

// ListUploads passes the listing on as one request.
func (s *Store) ListUploads(ctx context.Context, prefix string) iter.Seq2[objstore.Upload, error] {
	return func(yield func(objstore.Upload, error) bool) {
		f := s.arrive(ctx, objstore.OpListUploads, prefix, objstore.Range{})
		if err := s.refuse(ctx, f, objstore.OpListUploads, prefix); err != nil {
			yield(objstore.Upload{}, err)
			return
		}
		s.inner.ListUploads(ctx, prefix)(yield)
	}
}

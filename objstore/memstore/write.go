package memstore

import (
	"context"
	"errors"
	"io"

	"github.com/headrace/headrace/objstore"
)

// Put stores size bytes of body; ErrInvalid when body has less.
func (s *Store) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	if err := s.begin(ctx, objstore.OpPut, key); err != nil {
		return objstore.Entry{}, err
	}
	data, err := s.take(objstore.OpPut, key, body, size)
	if err != nil {
		return objstore.Entry{}, err
	}
	o := newObject(data, attrs)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store(objstore.OpPut, key, o, cond)
}

// take reads a body of size bytes.
func (s *Store) take(op objstore.Op, key string, body io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return nil, s.fail(op, key, objstore.ErrInvalid)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(body, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, s.fail(op, key, objstore.ErrInvalid)
	}
	return data, err
}

// Copy makes a new content of the same bytes and attributes. Its ETag is the sum of the bytes, even where src came from
// a multipart upload.
func (s *Store) Copy(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) (objstore.Entry, error) {
	if err := s.begin(ctx, objstore.OpCopy, key); err != nil {
		return objstore.Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.source(objstore.OpCopy, src)
	if err != nil {
		return objstore.Entry{}, err
	}
	return s.store(objstore.OpCopy, key, newObject(o.data, o.attrs), cond)
}

// CopyWith is Copy with other attributes; the tags stay.
func (s *Store) CopyWith(ctx context.Context, key string, src objstore.Version, cond objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	if err := s.begin(ctx, objstore.OpCopy, key); err != nil {
		return objstore.Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.source(objstore.OpCopy, src)
	if err != nil {
		return objstore.Entry{}, err
	}
	attrs.Tags = o.attrs.Tags
	return s.store(objstore.OpCopy, key, newObject(o.data, attrs), cond)
}

// source finds what is to be copied or moved; ErrChanged also when there is nothing. Called with mu held.
func (s *Store) source(op objstore.Op, src objstore.Version) (*object, error) {
	o, err := s.version(op, src)
	if errors.Is(err, objstore.ErrNotExist) {
		err = s.fail(op, src.Key, objstore.ErrChanged)
	}
	return o, err
}

// Rename moves src, which keeps its ETag.
func (s *Store) Rename(ctx context.Context, key string, src objstore.Version, cond objstore.Condition) error {
	if err := s.begin(ctx, objstore.OpRename, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.source(objstore.OpRename, src)
	if err != nil {
		return err
	}
	moved := *o
	if _, err := s.store(objstore.OpRename, key, &moved, cond); err != nil {
		return err
	}
	if key != src.Key {
		s.remove(src.Key)
	}
	return nil
}

// DeleteVersion removes v if it is there, and nothing else.
func (s *Store) DeleteVersion(ctx context.Context, v objstore.Version) error {
	if err := s.begin(ctx, objstore.OpDelete, v.Key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[v.Key]; o != nil && o.etag != v.ETag {
		return s.fail(objstore.OpDelete, v.Key, objstore.ErrChanged)
	}
	s.remove(v.Key)
	return nil
}

// Delete removes key if it is there.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, objstore.OpDelete, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
	return nil
}

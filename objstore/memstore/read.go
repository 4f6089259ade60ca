package memstore

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// Stat tells of the present content of key.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	if err := s.begin(ctx, objstore.OpStat, key); err != nil {
		return objstore.Entry{}, err
	}
	s.mu.RLock()
	o := s.objects[key]
	s.mu.RUnlock()
	if o == nil {
		return objstore.Entry{}, s.fail(objstore.OpStat, key, objstore.ErrNotExist)
	}
	e := o.entry(key)
	e.ContentType, e.Metadata, e.Headers, e.Tagged = o.attrs.ContentType, maps.Clone(o.attrs.Metadata), maps.Clone(o.attrs.Headers), o.attrs.Tags != ""
	return e, nil
}

// Tags tells an object's tags. See [objstore.Tagger].
func (s *Store) Tags(ctx context.Context, key string) (string, error) {
	if err := s.begin(ctx, objstore.OpStat, key); err != nil {
		return "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o := s.objects[key]
	if o == nil {
		return "", s.fail(objstore.OpStat, key, objstore.ErrNotExist)
	}
	return o.attrs.Tags, nil
}

// Open reads from the content as it is now; a later change of the key does not touch the body.
func (s *Store) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	if err := s.begin(ctx, objstore.OpOpen, v.Key); err != nil {
		return nil, err
	}
	if r.Empty() || r.Off < 0 || r.End() > v.Size {
		return nil, s.fail(objstore.OpOpen, v.Key, objstore.ErrInvalid)
	}
	s.mu.RLock()
	o, err := s.version(objstore.OpOpen, v)
	s.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	return &body{ctx: ctx, rest: o.data[r.Off:r.End()]}, nil
}

// body is the answer to one Open.
type body struct {
	ctx  context.Context // the request's: its end ends the body
	rest []byte
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error { return nil }

// Prestage does nothing but remember that it was asked for.
func (s *Store) Prestage(ctx context.Context, key string) error {
	if err := s.begin(ctx, objstore.OpPrestage, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[key] == nil {
		return s.fail(objstore.OpPrestage, key, objstore.ErrNotExist)
	}
	s.prestaged = append(s.prestaged, key)
	return nil
}

// Prestaged are the keys that were prestaged, in order.
func (s *Store) Prestaged() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.prestaged)
}

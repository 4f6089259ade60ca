package memstore

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// maxParts is S3's highest part number.
const maxParts = 10_000

// upload is a multipart upload under way.
type upload struct {
	key       string
	attrs     objstore.Attributes
	initiated time.Time
	parts     map[int][]byte // by number
}

// CreateUpload begins an upload. Ids ascend in the order of creation.
func (s *Store) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (string, error) {
	if err := s.begin(ctx, objstore.OpCreateUpload, key); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUpload++
	id := fmt.Sprintf("upload-%06d", s.lastUpload)
	s.uploads[id] = &upload{
		key: key, attrs: attrs, initiated: time.Now().UTC().Truncate(time.Second), parts: make(map[int][]byte),
	}
	return id, nil
}

// UploadPart stores a part, in place of an earlier one of the number. ErrNotExist when there is no such upload.
func (s *Store) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReadSeeker, size int64) (objstore.Part, error) {
	if err := s.begin(ctx, objstore.OpUploadPart, key); err != nil {
		return objstore.Part{}, err
	}
	data, err := s.take(objstore.OpUploadPart, key, body, size)
	if err != nil {
		return objstore.Part{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addPart(objstore.OpUploadPart, key, uploadID, number, data)
}

// CopyPart makes a part from a range of a stored version.
func (s *Store) CopyPart(ctx context.Context, key, uploadID string, number int, src objstore.Version, r objstore.Range) (objstore.Part, error) {
	if err := s.begin(ctx, objstore.OpCopyPart, key); err != nil {
		return objstore.Part{}, err
	}
	if r.Empty() || r.Off < 0 || r.End() > src.Size {
		return objstore.Part{}, s.fail(objstore.OpCopyPart, key, objstore.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, err := s.source(objstore.OpCopyPart, src)
	if err != nil {
		return objstore.Part{}, err
	}
	return s.addPart(objstore.OpCopyPart, key, uploadID, number, o.data[r.Off:r.End()])
}

// addPart puts data among the parts of an upload. Called with mu held.
func (s *Store) addPart(op objstore.Op, key, uploadID string, number int, data []byte) (objstore.Part, error) {
	u, err := s.upload(op, key, uploadID)
	if err != nil {
		return objstore.Part{}, err
	}
	if number < 1 || number > maxParts {
		return objstore.Part{}, s.fail(op, key, objstore.ErrInvalid)
	}
	u.parts[number] = data
	return objstore.Part{Number: number, ETag: sum(data), Size: int64(len(data))}, nil
}

// upload finds an upload. Called with mu held.
func (s *Store) upload(op objstore.Op, key, id string) (*upload, error) {
	u := s.uploads[id]
	if u == nil || u.key != key {
		return nil, s.fail(op, key, objstore.ErrNotExist)
	}
	return u, nil
}

// CompleteUpload makes the object of the given parts, which must ascend by number and be the ones stored. The upload
// stays when that fails.
func (s *Store) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	if err := s.begin(ctx, objstore.OpCompleteUpload, key); err != nil {
		return objstore.Entry{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.upload(objstore.OpCompleteUpload, key, uploadID)
	if err != nil {
		return objstore.Entry{}, err
	}
	o, err := s.assemble(u, parts)
	if err != nil {
		return objstore.Entry{}, err
	}
	e, err := s.store(objstore.OpCompleteUpload, key, o, cond)
	if err == nil {
		delete(s.uploads, uploadID)
	}
	return e, err
}

func (s *Store) assemble(u *upload, parts []objstore.Part) (*object, error) {
	invalid := s.fail(objstore.OpCompleteUpload, u.key, objstore.ErrInvalid)
	var data [][]byte
	sums := md5.New()
	for i, p := range parts {
		stored, ok := u.parts[p.Number]
		if !ok || sum(stored) != p.ETag || i > 0 && p.Number <= parts[i-1].Number {
			return nil, invalid
		}
		data = append(data, stored)
		digest := md5.Sum(stored)
		sums.Write(digest[:])
	}
	if len(parts) == 0 {
		return nil, invalid
	}
	o := newObject(slices.Concat(data...), u.attrs)
	o.etag = fmt.Sprintf("%s-%d", hex.EncodeToString(sums.Sum(nil)), len(parts))
	return o, nil
}

// AbortUpload forgets an upload and its parts.
func (s *Store) AbortUpload(ctx context.Context, key, uploadID string) error {
	if err := s.begin(ctx, objstore.OpAbortUpload, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.uploads[uploadID]; u != nil && u.key == key {
		delete(s.uploads, uploadID)
	}
	return nil
}

// ListUploads yields the uploads under way when the iteration begins, by key and then by age.
func (s *Store) ListUploads(ctx context.Context, prefix string) iter.Seq2[objstore.Upload, error] {
	return func(yield func(objstore.Upload, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Upload{}, err)
			return
		}
		for _, u := range s.uploadsBelow(prefix) {
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (s *Store) uploadsBelow(prefix string) []objstore.Upload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []objstore.Upload
	for id, u := range s.uploads {
		if strings.HasPrefix(u.key, prefix) {
			found = append(found, objstore.Upload{Key: u.key, ID: id, Initiated: u.initiated})
		}
	}
	slices.SortFunc(found, func(a, b objstore.Upload) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.ID, b.ID))
	})
	return found
}

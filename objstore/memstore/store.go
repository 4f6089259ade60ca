// Package memstore is an object store in memory, for tests of everything above objstore.
//
// It is strict where real stores are: ETags are MD5 sums (of a multipart upload the sum of the parts' sums, a dash and
// their number), listings ascend in byte order and come in pages, conditions are checked at the moment of the write, a
// body of the wrong length is refused, a version that is gone is ErrChanged. It is lenient in two ways: any key but the
// empty one is taken, whatever bytes it has, and parts may have any size.
//
// Its parts: objects (store.go), reading (read.go), listing (list.go), writing (write.go), multipart uploads
// (multipart.go).
//
// Limits: everything is held in memory; the first listing after a change of the set of keys sorts them all.
package memstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

// Store is one bucket. It has all powers a bucket can have.
type Store struct {
	name string

	mu         sync.RWMutex // guards all fields below
	objects    map[string]*object
	sorted     []string // the keys of objects in byte order; nil when the set has changed since
	uploads    map[string]*upload
	lastUpload int
	prestaged  []string
}

// object is one content of a key. It is never changed once it is in the store.
type object struct {
	data    []byte
	etag    string
	modTime time.Time
	attrs   objstore.Attributes
}

// New makes an empty bucket.
func New(name string) *Store {
	return &Store{name: name, objects: make(map[string]*object), uploads: make(map[string]*upload)}
}

// Name is the bucket's name.
func (s *Store) Name() string { return s.name }

// Endpoint is the same for all stores of this package.
func (s *Store) Endpoint() string { return "memory" }

// fail wraps a sentinel as stores do.
func (s *Store) fail(op objstore.Op, key string, err error) error {
	status := map[error]int{
		objstore.ErrNotExist: 404, objstore.ErrChanged: 412, objstore.ErrExists: 412, objstore.ErrInvalid: 400,
	}[err]
	return &objstore.Error{Op: op.String(), Bucket: s.name, Key: key, Status: status, Err: err}
}

// begin checks what every request needs.
func (s *Store) begin(ctx context.Context, op objstore.Op, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if key == "" {
		return s.fail(op, key, objstore.ErrInvalid)
	}
	return nil
}

// store puts o under key if cond holds. Called with mu held.
func (s *Store) store(op objstore.Op, key string, o *object, cond objstore.Condition) (objstore.Entry, error) {
	present := s.objects[key]
	switch {
	case cond.IfNew && present != nil:
		return objstore.Entry{}, s.fail(op, key, objstore.ErrExists)
	case cond.IfMatch != "" && (present == nil || present.etag != cond.IfMatch):
		return objstore.Entry{}, s.fail(op, key, objstore.ErrChanged)
	}
	o.modTime = time.Now().UTC().Truncate(time.Second)
	s.objects[key] = o
	if present == nil {
		s.sorted = nil
	}
	return o.entry(key), nil
}

// remove takes key out. Called with mu held.
func (s *Store) remove(key string) {
	if s.objects[key] != nil {
		delete(s.objects, key)
		s.sorted = nil
	}
}

// keys are all keys in byte order. Called with mu held for writing.
func (s *Store) keys() []string {
	if s.sorted == nil {
		s.sorted = slices.Sorted(maps.Keys(s.objects))
	}
	return s.sorted
}

// entry is what a listing tells of o.
func (o *object) entry(key string) objstore.Entry {
	return objstore.Entry{
		Key: key, Size: int64(len(o.data)), ETag: o.etag, ModTime: o.modTime, StorageClass: o.attrs.StorageClass,
	}
}

// newObject takes data over.
func newObject(data []byte, attrs objstore.Attributes) *object {
	attrs.Metadata, attrs.Headers = maps.Clone(attrs.Metadata), maps.Clone(attrs.Headers)
	return &object{data: data, etag: sum(data), attrs: attrs}
}

func sum(data []byte) string {
	digest := md5.Sum(data)
	return hex.EncodeToString(digest[:])
}

// version finds the object that v names. Called with mu held.
func (s *Store) version(op objstore.Op, v objstore.Version) (*object, error) {
	o := s.objects[v.Key]
	if o == nil {
		return nil, s.fail(op, v.Key, objstore.ErrNotExist)
	}
	if o.etag != v.ETag {
		return nil, s.fail(op, v.Key, objstore.ErrChanged)
	}
	if int64(len(o.data)) != v.Size {
		return nil, fmt.Errorf("%w: %v has %d bytes", s.fail(op, v.Key, objstore.ErrCorrupt), v, len(o.data))
	}
	return o, nil
}

package fs

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
)

// fakeBucket is a bucket in memory that counts what it is asked and can be made to hang.
type fakeBucket struct {
	objstore.Bucket // what is not needed here panics

	mu      sync.Mutex // guards everything below
	objects map[string]fakeObject
	asked   []string              // "HEAD a", "LIST a/", "GET a"
	stalled map[string]chan error // operation to what ends its hanging
	reached chan string           // gets each operation that hangs, once it does
	clock   int64                 // seconds, one more with each put
}

type fakeObject struct {
	data  []byte
	entry objstore.Entry
}

func newFakeBucket() *fakeBucket {
	return &fakeBucket{objects: map[string]fakeObject{}, stalled: map[string]chan error{}, reached: make(chan string, 64), clock: 1_700_000_000}
}

func (b *fakeBucket) put(key string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	b.objects[key] = fakeObject{data, objstore.Entry{
		Key: key, Size: int64(len(data)), ETag: fmt.Sprint("etag", b.clock), ModTime: time.Unix(b.clock, 0),
	}}
}

func (b *fakeBucket) remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
}

// requests returns what was asked since the last call.
func (b *fakeBucket) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	slices.Sort(asked)
	return asked
}

// stall has an operation, such as "GET" or "GET dir/name", hang until resume.
func (b *fakeBucket) stall(op string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stalled[op] = make(chan error)
}

func (b *fakeBucket) resume(op string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.stalled[op])
	delete(b.stalled, op)
}

func (b *fakeBucket) ask(ctx context.Context, op, key string) error {
	b.mu.Lock()
	b.asked = append(b.asked, op+" "+key)
	stalled := b.stalled[op]
	if stalled == nil {
		stalled = b.stalled[op+" "+key]
	}
	b.mu.Unlock()
	if stalled == nil {
		return nil
	}
	select {
	case b.reached <- op:
	default:
	}
	select {
	case err := <-stalled:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *fakeBucket) Name() string     { return "bucket" }
func (b *fakeBucket) Endpoint() string { return "fake" }

func (b *fakeBucket) failure(op, key string, err error) error {
	return &objstore.Error{Op: op, Bucket: "bucket", Key: key, Err: err}
}

func (b *fakeBucket) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	if err := b.ask(ctx, "HEAD", key); err != nil {
		return objstore.Entry{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	if !ok {
		return objstore.Entry{}, b.failure("HeadObject", key, objstore.ErrNotExist)
	}
	return o.entry, nil
}

func (b *fakeBucket) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		size := opts.PageSize
		if size == 0 {
			size = 1000
		}
		for after := opts.StartAfter; ; {
			if err := b.ask(ctx, "LIST", opts.Prefix); err != nil {
				yield(objstore.Page{}, err)
				return
			}
			page, last := b.page(opts, after, size)
			if !yield(page, nil) || last == "" {
				return
			}
			after = last
		}
	}
}

// page is one page of a listing, and the key after which the next begins: "" when there is none.
func (b *fakeBucket) page(opts objstore.ListOptions, after string, size int) (page objstore.Page, last string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		rest, below := strings.CutPrefix(key, opts.Prefix)
		if !below || key <= after || strings.HasSuffix(after, "/") && strings.HasPrefix(key, after) && opts.Delimiter != "" {
			continue
		}
		if len(page.Entries)+len(page.Prefixes) == size {
			return page, last
		}
		if i := strings.Index(rest, "/"); i >= 0 && opts.Delimiter == "/" {
			prefix := opts.Prefix + rest[:i+1]
			if n := len(page.Prefixes); n == 0 || page.Prefixes[n-1] != prefix {
				page.Prefixes = append(page.Prefixes, prefix)
			}
			last = prefix
			continue
		}
		page.Entries = append(page.Entries, b.objects[key].entry)
		last = key
	}
	return page, ""
}

func (b *fakeBucket) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	if err := b.ask(ctx, "GET", v.Key); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[v.Key]
	switch {
	case !ok:
		return nil, b.failure("GetObject", v.Key, objstore.ErrNotExist)
	case o.entry.ETag != v.ETag:
		return nil, b.failure("GetObject", v.Key, objstore.ErrChanged)
	}
	return io.NopCloser(bytes.NewReader(o.data[r.Off:r.End()])), nil
}

// wholeSource is a cache that fetches whole objects when they are first read and never lets go of them.
type wholeSource struct {
	store objstore.Opener

	mu     sync.Mutex // guards held, pins
	held   map[objstore.Version][]byte
	pinned int
}

func (s *wholeSource) Read(ctx context.Context, v objstore.Version, r objstore.Range) ([][]byte, func(), bool, error) {
	s.mu.Lock()
	data := s.held[v]
	s.mu.Unlock()
	if data == nil {
		body, err := s.store.Open(ctx, v, objstore.Range{Len: v.Size})
		if err != nil {
			return nil, nil, false, err
		}
		if data, err = io.ReadAll(body); err != nil {
			return nil, nil, false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[v] = data
	s.pinned++
	var once sync.Once
	// In two slices, as where a read crosses from one chunk into the next.
	middle := r.Off + r.Len/2
	return [][]byte{data[r.Off:middle], data[middle:r.End()]}, func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pinned--
		})
	}, false, nil
}

func (s *wholeSource) Fetch(_ context.Context, v objstore.Version, r objstore.Range, class objstore.Class, _ int64) (accepted, started int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[v] != nil {
		return r.Len, 0
	}
	return r.Len, r.Len
}

func (s *wholeSource) HandedOver(objstore.Version, objstore.Range) {}

func (s *wholeSource) Local(objstore.Version) bool { return false }

func (s *wholeSource) CameLocal(objstore.Version, int64) bool { return false }

func (s *wholeSource) cached(v objstore.Version) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.held[v]))
}

// testConfig shows b with a source of its own.
func testConfig(t *testing.T, b objstore.Bucket) (Config, *wholeSource) {
	t.Helper()
	source := &wholeSource{store: b, held: map[objstore.Version][]byte{}}
	files, err := prefetch.New(prefetch.Config{Source: source, Memory: 64 << 20, Budget: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return Config{Bucket: b, Files: files, Cached: source.cached, MetadataTTL: time.Minute}, source
}

// contentOf is content of a size that differs for each name, so that bytes of one file cannot pass for those of
// another.
func contentOf(name string, size int) []byte {
	line := fmt.Appendf(nil, "%x %s\n", md5.Sum([]byte(name)), name)
	data := bytes.Repeat(line, size/len(line)+1)[:size]
	for i := 0; i+8 <= size; i += 4096 { // so that pages of one file differ
		copy(data[i:], fmt.Sprintf("%08d", i/4096))
	}
	return data
}

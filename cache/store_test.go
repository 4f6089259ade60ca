package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// pattern is what the content of all test objects is cut from. Its length is a prime, so that shifted content never
// looks right.
var patternLength = 1048573

func newPattern() []byte {
	p := make([]byte, patternLength)
	x := uint32(2463534242)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return p
}

// fakeStore is an Opener whose objects' bytes follow from version and offset. Unless a gate is set it answers at once.
type fakeStore struct {
	pattern []byte
	open    func(ctx context.Context, v objstore.Version, r objstore.Range) error // nil, or what happens before the headers
	body    func(b *fakeBody) io.ReadCloser                                       // nil, or what the body is wrapped with

	mu    sync.Mutex // guards calls
	calls []call
}

type call struct {
	v objstore.Version
	r objstore.Range
}

func newFakeStore() *fakeStore { return &fakeStore{pattern: newPattern()} }

// copyAt puts the content of v from off on into p.
func (s *fakeStore) copyAt(v objstore.Version, off int64, p []byte) {
	shift := int64(0)
	for _, b := range []byte(v.Key + v.ETag) {
		shift = shift*31 + int64(b)
	}
	at := int((off + shift) % int64(len(s.pattern)))
	for n := 0; n < len(p); {
		n += copy(p[n:], s.pattern[at:])
		at = 0
	}
}

// content is the bytes of r in v.
func (s *fakeStore) content(v objstore.Version, r objstore.Range) []byte {
	p := make([]byte, r.Len)
	s.copyAt(v, r.Off, p)
	return p
}

func (s *fakeStore) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call{v, r})
	s.mu.Unlock()
	if s.open != nil {
		if err := s.open(ctx, v, r); err != nil {
			return nil, err
		}
	}
	b := &fakeBody{store: s, ctx: ctx, v: v, at: r}
	if s.body != nil {
		return s.body(b), nil
	}
	return b, nil
}

// ranges are the ranges asked for so far, in the order of the calls.
func (s *fakeStore) ranges() []objstore.Range {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rs []objstore.Range
	for _, c := range s.calls {
		rs = append(rs, c.r)
	}
	return rs
}

// fakeBody yields the bytes of one range.
type fakeBody struct {
	store *fakeStore
	ctx   context.Context
	v     objstore.Version
	at    objstore.Range // what is still to be read
}

func (b *fakeBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.at.Empty() {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), b.at.Len))
	b.store.copyAt(b.v, b.at.Off, p[:n])
	b.at.Off += int64(n)
	b.at.Len -= int64(n)
	return n, nil
}

func (b *fakeBody) Close() error { return nil }

// version is an object of the fake store.
func version(key string, size int64) objstore.Version {
	return objstore.Version{Endpoint: "fake", Bucket: "bucket", Key: key, ETag: "1", Size: size}
}

// onHeap is a backing of Go memory, so that the race detector sees the bytes; what is given back is overwritten, so
// that a reader of it is found out.
func onHeap(memory int64) backing {
	all := make([]byte, addressSpace(memory))
	poison := bytes.Repeat([]byte{0xDB}, blockSize)
	return backing{
		mem: all,
		decommit: func(b []byte) error {
			for len(b) > 0 {
				b = b[copy(b, poison):]
			}
			return nil
		},
		close: func() error { return nil },
	}
}

// newTestCache makes a cache over s that is checked and closed when the test ends.
func newTestCache(t *testing.T, s objstore.Opener, memory int64) *Cache {
	t.Helper()
	c, err := New(Config{Opener: s, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, c)
	return c
}

// closeAfter checks and closes the cache when the test ends, and sees that nothing is booked any more.
func closeAfter(t *testing.T, c *Cache) {
	t.Cleanup(func() {
		c.check(t)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if c.ledger.used != int64(c.arena.spareBlocks)*blockSize {
			t.Errorf("after Close %d bytes are booked, %d blocks are spare", c.ledger.used, c.arena.spareBlocks)
		}
	})
}

// mustRead reads r of v, compares it with the store's content and releases it.
func mustRead(t *testing.T, c *Cache, s *fakeStore, v objstore.Version, r objstore.Range) {
	t.Helper()
	data, release, _, err := c.Read(t.Context(), v, r)
	if err != nil {
		t.Fatalf("reading %v of %s: %v", r, v.Key, err)
	}
	if err := same(data, s.content(v, r)); err != nil {
		t.Fatalf("reading %v of %s: %v", r, v.Key, err)
	}
	release()
}

// same compares slices in order with what they should be.
func same(data [][]byte, want []byte) error {
	for i, d := range data {
		if len(d) > len(want) || !bytes.Equal(d, want[:len(d)]) {
			return fmt.Errorf("slice %d of %d bytes is wrong", i, len(d))
		}
		want = want[len(d):]
	}
	if len(want) > 0 {
		return fmt.Errorf("the last %d bytes are missing", len(want))
	}
	return nil
}

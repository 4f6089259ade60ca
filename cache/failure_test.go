package cache

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

var errStore = errors.New("the store failed")

// A fill's failure is told to the readers whose bytes it did not bring, and to no other; the next read tries anew, from
// where it broke.
func TestFailureIsForThoseWhoMissBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, MinMemory)
		v := version("object", 40<<20)
		lucky, unlucky := read(t, c, v, 0, pageSize), read(t, c, v, 500<<10, pageSize)
		other := read(t, c, v, 9*blockSize, pageSize)
		g := s.at(t, v, 0)
		g.give(100 << 10)
		g.fail(errStore)
		lucky.right(t, s.fakeStore)
		lucky.release()
		if !unlucky.returned() || unlucky.err != errStore {
			t.Errorf("the reader whose bytes did not come got %v", unlucky.err)
		}
		other.waits(t)
		s.at(t, v, 9*blockSize).finish()
		other.right(t, s.fakeStore)
		other.release()
		again := read(t, c, v, 500<<10, pageSize)
		s.at(t, v, 500<<10).finish()
		again.right(t, s.fakeStore)
		again.release()
		s.at(t, v, 100<<10).finish()
	})
}

// ErrChanged means that the version is gone: all who wait for bytes of it are told, whichever fill they wait for.
func TestChangedIsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 64<<20)
		v, w := version("object", 40<<20), version("other", 40<<20)
		a, b, other := read(t, c, v, 0, pageSize), read(t, c, v, chunkSize+5*blockSize, pageSize), read(t, c, w, 0, pageSize)
		s.at(t, v, 0).fail(&objstore.Error{Op: "GetObject", Key: v.Key, Err: objstore.ErrChanged})
		for _, p := range []*pending{a, b} {
			if !p.returned() || !errors.Is(p.err, objstore.ErrChanged) {
				t.Errorf("a reader of the version that is gone got %v", p.err)
			}
		}
		other.waits(t)
		s.at(t, w, 0).finish()
		other.right(t, s.fakeStore)
		other.release()
	})
}

// Two versions of one key never share a byte.
func TestVersionsAreApart(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	v := version("object", 3<<20)
	w := v
	w.ETag = "2"
	for range 2 {
		mustRead(t, c, s, v, objstore.Range{Off: 0, Len: 2 << 20})
		mustRead(t, c, s, w, objstore.Range{Off: 1 << 20, Len: 2 << 20})
	}
	if got := c.Cached(v) + c.Cached(w); got != 4<<20 {
		t.Errorf("%d bytes are here, want 2 MiB of each version", got)
	}
}

// scriptedBody yields n bytes and then what its function says.
type scriptedBody struct {
	io.ReadCloser
	left int64
	then func(p []byte) (int, error)
}

func (b *scriptedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return b.then(p)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// A body that is not what the range asked for is an error, never bytes.
func TestBadBodies(t *testing.T) {
	const size = 3 << 20
	for _, tc := range []struct {
		name string
		left int64
		then func([]byte) (int, error)
		want error
	}{
		{"ends early", 1 << 20, func([]byte) (int, error) { return 0, io.EOF }, io.ErrUnexpectedEOF},
		{"breaks", 1 << 20, func([]byte) (int, error) { return 0, errStore }, errStore},
		{"gives nothing for ever", 1 << 20, func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
		{"is too long", size, func(p []byte) (int, error) { return len(p), nil }, objstore.ErrCorrupt},
		{"never ends", size, func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
		{"is found corrupt at its end", size, func([]byte) (int, error) { return 0, objstore.ErrCorrupt }, objstore.ErrCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newFakeStore()
			s.body = func(b *fakeBody) io.ReadCloser { return &scriptedBody{b, tc.left, tc.then} }
			c := newTestCache(t, s, MinMemory)
			v := version("object", size)
			r := objstore.Range{Off: 0, Len: size}
			if _, _, _, err := c.Read(t.Context(), v, r); !errors.Is(err, tc.want) {
				t.Fatalf("reading: %v, want %v", err, tc.want)
			}
			s.body = nil
			mustRead(t, c, s, v, r)
		})
	}
}

// A small object's content is checked by a source that can before any byte of it is given out.
func TestCorruptSmallObject(t *testing.T) {
	s := newFakeStore()
	s.body = func(b *fakeBody) io.ReadCloser {
		return &scriptedBody{b, 100 << 10, func([]byte) (int, error) { return 0, objstore.ErrCorrupt }}
	}
	c := newTestCache(t, s, MinMemory)
	v := version("small", 100<<10)
	if _, _, _, err := c.Read(t.Context(), v, objstore.Range{Off: 0, Len: 1}); !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("the first byte of a corrupt object: %v", err)
	}
	if got := c.Cached(v); got != 0 {
		t.Errorf("%d bytes of it are here", got)
	}
}

// Close fails the readers that wait, for bytes and for memory, and waits for the fills.
func TestCloseFailsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c, err := New(Config{Opener: s, Memory: MinMemory})
		if err != nil {
			t.Fatal(err)
		}
		v := version("object", 100<<20)
		c.Fetch(t.Context(), v, objstore.Range{Off: 80 << 20, Len: 4 << 20}, objstore.ClassPrefetch, 0)
		all := []*pending{read(t, c, v, 0, 15<<20), read(t, c, v, chunkSize, 12<<20), read(t, c, v, 3*chunkSize, 3<<20)}
		if c.Stats().MemoryWaits == 0 {
			t.Fatal("nobody waits for memory")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for _, p := range all {
			if !p.returned() || !errors.Is(p.err, os.ErrClosed) {
				t.Errorf("a reader got %v", p.err)
			}
		}
		if n := len(s.live()); n != 0 {
			t.Errorf("%d GETs under way after Close", n)
		}
		if _, _, _, err := c.Read(t.Context(), v, objstore.Range{Len: 1}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("reading after Close: %v", err)
		}
		if n, _ := c.Fetch(t.Context(), v, objstore.Range{Len: 1}, objstore.ClassDemand, 0); n != 0 {
			t.Error("fetching after Close is accepted")
		}
		if err := c.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
	})
}

// Memory that a reader still uses is left alone by Close, which says so.
func TestCloseWithUnreleasedRead(t *testing.T) {
	s := newFakeStore()
	c, err := New(Config{Opener: s, Memory: MinMemory})
	if err != nil {
		t.Fatal(err)
	}
	v, r := version("object", 1<<20), objstore.Range{Len: 1 << 20}
	data, release, _, err := c.Read(t.Context(), v, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err == nil {
		t.Error("Close says nothing of a read that is not released")
	}
	if err := same(data, s.content(v, r)); err != nil {
		t.Error(err)
	}
	release()
	if err := c.unmap(); err != nil {
		t.Error(err)
	}
}

// A second release would let go of another reader's pin.
func TestReleaseTwicePanics(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	_, release, _, err := c.Read(t.Context(), version("object", 10), objstore.Range{Len: 10})
	if err != nil {
		t.Fatal(err)
	}
	release()
	defer func() {
		if recover() == nil {
			t.Error("the second release did not panic")
		}
	}()
	release()
}

// New refuses what cannot work.
func TestNewInvalid(t *testing.T) {
	for _, cfg := range []Config{{Memory: MinMemory}, {Opener: newFakeStore(), Memory: MinMemory - 1}} {
		if _, err := New(cfg); !errors.Is(err, objstore.ErrInvalid) {
			t.Errorf("New(%+v): %v", cfg, err)
		}
	}
}

// A reader of two chunks, one of which was being brought for somebody who has gone, does not give up the other: with
// that, each try would cancel what the next one waits for.
func TestGivenUpFillIsBroughtAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newValveStore()
		c := newTestCache(t, s, 64<<20)
		v := version("object", 40<<20)
		gone := read(t, c, v, 0, pageSize)
		first := s.at(t, v, 0)
		first.mu.Lock()
		first.stubborn = true
		first.mu.Unlock()
		gone.cancel()
		<-gone.done
		second := read(t, c, v, blockSize-pageSize, 2*pageSize)
		other := s.at(t, v, blockSize)
		first.fail(context.Canceled)
		if other.ctx.Err() != nil {
			t.Error("the fill that is still wanted was cancelled")
		}
		s.at(t, v, blockSize-pageSize).finish()
		s.at(t, v, 0).finish()
		s.at(t, v, blockSize).finish()
		second.right(t, s.fakeStore)
		second.release()
	})
}

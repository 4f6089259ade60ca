package cache

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// valveStore is a fake store whose every answer waits for the test: no header and no byte comes before it is let
// through.
type valveStore struct {
	*fakeStore

	mu     sync.Mutex // guards valves
	valves []*valve
}

// valve is one GET.
type valve struct {
	store  *valveStore
	ctx    context.Context
	v      objstore.Version
	r      objstore.Range
	grants chan grant

	// Of the goroutine that reads.
	body *fakeBody
	may  int64 // bytes let through and not yet read

	mu       sync.Mutex // guards what is below
	sent     int64      // bytes let through
	over     bool       // the cache has closed the body, or never got one
	stubborn bool       // it does not let go when its context ends
}

// grant lets bytes through, or ends the body with an error.
type grant struct {
	bytes int64
	err   error
}

func newValveStore() *valveStore { return &valveStore{fakeStore: newFakeStore()} }

func (s *valveStore) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	w := &valve{store: s, ctx: ctx, v: v, r: r, grants: make(chan grant, 100)}
	w.body = &fakeBody{store: s.fakeStore, ctx: ctx, v: v, at: r}
	s.mu.Lock()
	s.valves = append(s.valves, w)
	s.mu.Unlock()
	if err := w.await(); err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

// await waits until something is let through.
func (w *valve) await() error {
	select {
	case g := <-w.grants:
		w.may += g.bytes
		return g.err
	case <-w.ctx.Done():
		w.mu.Lock()
		stubborn := w.stubborn
		w.mu.Unlock()
		if stubborn {
			return (<-w.grants).err
		}
		return w.ctx.Err()
	}
}

func (w *valve) Read(p []byte) (int, error) {
	for w.may == 0 && !w.body.at.Empty() {
		if err := w.await(); err != nil {
			return 0, err
		}
	}
	n, err := w.body.Read(p[:min(int64(len(p)), max(w.may, 1))])
	w.may -= int64(n)
	return n, err
}

func (w *valve) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	return nil
}

// give lets n bytes through, or what is left, and waits until all has come to rest.
func (w *valve) give(n int64) {
	w.mu.Lock()
	n = min(n, w.r.Len-w.sent)
	w.sent += n
	w.mu.Unlock()
	w.grants <- grant{bytes: n}
	synctest.Wait()
}

// finish lets all bytes through.
func (w *valve) finish() { w.give(w.r.Len) }

// fail ends the body with err.
func (w *valve) fail(err error) {
	w.grants <- grant{err: err}
	synctest.Wait()
}

// live are the GETs under way, in the order of their ranges' arrival.
func (s *valveStore) live() []*valve {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*valve
	for _, w := range s.valves {
		w.mu.Lock()
		if !w.over {
			live = append(live, w)
		}
		w.mu.Unlock()
	}
	return live
}

// at is the one GET under way that starts at off of v.
func (s *valveStore) at(t *testing.T, v objstore.Version, off int64) *valve {
	t.Helper()
	synctest.Wait()
	var found *valve
	for _, w := range s.live() {
		if w.v == v && w.r.Off == off {
			if found != nil {
				t.Fatalf("two GETs of %s at %d", v.Key, off)
			}
			found = w
		}
	}
	if found == nil {
		t.Fatalf("no GET of %s at %d", v.Key, off)
	}
	return found
}

// pending is a read that runs on its own.
type pending struct {
	v      objstore.Version
	r      objstore.Range
	cancel context.CancelFunc
	done   chan struct{} // closed when the read has returned

	data    [][]byte
	release func()
	err     error
}

// read starts a read and waits until all has come to rest.
func read(t *testing.T, c *Cache, v objstore.Version, off, n int64) *pending {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &pending{v: v, r: objstore.Range{Off: off, Len: n}, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.data, p.release, _, p.err = c.Read(ctx, v, p.r)
	}()
	synctest.Wait()
	c.check(t)
	return p
}

// returned tells whether the read is over.
func (p *pending) returned() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// right fails the test unless the read has returned the right bytes. It does not release them.
func (p *pending) right(t *testing.T, s *fakeStore) {
	t.Helper()
	synctest.Wait()
	if !p.returned() {
		t.Fatalf("the read of %v of %s still waits", p.r, p.v.Key)
	}
	if p.err != nil {
		t.Fatalf("the read of %v of %s: %v", p.r, p.v.Key, p.err)
	}
	if err := same(p.data, s.content(p.v, p.r)); err != nil {
		t.Fatalf("the read of %v of %s: %v", p.r, p.v.Key, err)
	}
}

// waits fails the test when the read has returned.
func (p *pending) waits(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if p.returned() {
		t.Fatalf("the read of %v of %s has returned: %v", p.r, p.v.Key, p.err)
	}
}

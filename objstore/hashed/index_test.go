package hashed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// Writes show at once; those of others when the index is older than its TTL, which the page tells.
func TestIndexAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		b := newBucket(t, store, Options{TTL: time.Minute})
		put(t, b, "a", "b")
		if b.IndexReady() {
			t.Error("writing has made an index")
		}
		began := time.Now()
		expect(t, b, objstore.ListOptions{}, "a", "b")
		time.Sleep(30 * time.Second)
		put(t, store, Encode("others"))
		put(t, b, "c")
		if err := b.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		got, asOf := listed(t, b, objstore.ListOptions{})
		if !slices.Equal(got, []string{"b", "c"}) || !asOf.Equal(began) {
			t.Errorf("young: %q as of %v, should be of %v", got, asOf, began)
		}
		time.Sleep(31 * time.Second)
		expect(t, b, objstore.ListOptions{}, "b", "c", "others")
	})
}

// slow has each listing take its time.
type slow struct {
	objstore.Bucket
	mu   sync.Mutex
	wait time.Duration
}

func (s *slow) set(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = d
}

func (s *slow) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	s.mu.Lock()
	wait := s.wait
	s.mu.Unlock()
	time.Sleep(wait)
	return s.Bucket.List(ctx, opts)
}

// An index that takes long to be made again is gone by in the meantime, and what is written meanwhile is not lost.
func TestIndexMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{Bucket: memstore.New("bucket")}
		b := newBucket(t, store, Options{TTL: time.Minute})
		put(t, b, "a")
		expect(t, b, objstore.ListOptions{}, "a")
		put(t, store, Encode("others"))
		store.set(5 * time.Second) // of each, eight in a row
		time.Sleep(2 * time.Minute)
		began := time.Now()
		expect(t, b, objstore.ListOptions{}, "a")
		if took := time.Since(began); took != freshWait {
			t.Errorf("waited %v for an index that is being made again", took)
		}
		var mine []string
		for n := range 2 * mergeAt { // enough for some shards to be merged, were it allowed
			mine = append(mine, fmt.Sprint("mine-", n))
		}
		put(t, b, mine...)
		time.Sleep(time.Minute)
		expect(t, b, objstore.ListOptions{}, append([]string{"a"}, slices.Sorted(slices.Values(append(mine, "others")))...)...)
	})
}

// An index that cannot be made is an error for who needs the first, and for the others when theirs is far too old; and
// who gives up waiting goes.
func TestIndexFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Bucket: memstore.New("bucket")}
		b := newBucket(t, store, Options{TTL: time.Minute})
		store.fail(objstore.ErrTimeout)
		for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
			if !errors.Is(err, objstore.ErrTimeout) {
				t.Errorf("no index: %v", err)
			}
		}
		store.fail(nil)
		put(t, b, "a")
		expect(t, b, objstore.ListOptions{}, "a")
		store.fail(objstore.ErrTimeout)
		time.Sleep(5 * time.Minute)
		expect(t, b, objstore.ListOptions{}, "a")
		time.Sleep(10 * time.Minute)
		for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
			if !errors.Is(err, objstore.ErrTimeout) {
				t.Errorf("an index of a quarter of an hour ago: %v", err)
			}
		}
	})
}

// failing fails all listings.
type failing struct {
	objstore.Bucket
	mu  sync.Mutex
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return func(yield func(objstore.Page, error) bool) { yield(objstore.Page{}, err) }
	}
	return f.Bucket.List(ctx, opts)
}

// An index that is far too old is not gone by while another is made, and however many wait for one that is not, they
// wait together.
func TestOldIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{Bucket: memstore.New("bucket")}
		b := newBucket(t, store, Options{TTL: time.Minute})
		put(t, b, "a", "a/b")
		if b.Has("a/") {
			t.Error("an index that is not there has a key")
		}
		expect(t, b, objstore.ListOptions{}, "a", "a/b")
		put(t, store, Encode("others"))
		store.set(5 * time.Second)
		time.Sleep(2 * time.Minute)
		if b.IndexReady() || !b.Has("a/") || b.Has("b/") {
			t.Error("an index that is a little old does not tell what it knows")
		}
		for n, want := range []time.Duration{freshWait, 0, 0} {
			began := time.Now()
			expect(t, b, objstore.ListOptions{}, "a", "a/b")
			if took := time.Since(began); took != want {
				t.Errorf("listing %d waited %v, should wait %v", n, took, want)
			}
		}
		time.Sleep(time.Hour)
		expect(t, b, objstore.ListOptions{}, "a", "a/b", "others")
	})
}

// Writers and listings that go on while the index is made again and again never miss what is there all the time, nor
// show what was removed before they began.
func TestIndexUnderWriters(t *testing.T) {
	store := memstore.New("bucket")
	b := newBucket(t, store, Options{TTL: time.Nanosecond})
	put(t, b, "stays")
	var g errgroup.Group
	for w := range 3 {
		g.Go(func() error {
			for n := range 20 {
				key := fmt.Sprintf("w%d/%d", w, n)
				put(t, b, key)
				if err := b.Delete(t.Context(), fmt.Sprintf("w%d/%d", w, n-2)); err != nil {
					return err
				}
				got, _ := listed(t, b, objstore.ListOptions{Prefix: fmt.Sprintf("w%d/", w)})
				want := []string{key}
				if n > 0 {
					want = append(want, fmt.Sprintf("w%d/%d", w, n-1))
				}
				if slices.Sort(want); !slices.Equal(got, want) {
					return fmt.Errorf("after %s: %q, should be %q", key, got, want)
				}
				if all, _ := listed(t, b, objstore.ListOptions{Prefix: "stays"}); len(all) != 1 {
					return fmt.Errorf("what stays is gone: %q", all)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

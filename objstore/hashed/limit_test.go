package hashed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// More keys than an index may have are refused, the error says what to do, and it is not tried again at once.
func TestTooManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		requests := 0
		counted := &counting{Bucket: store, requests: &requests}
		b := newBucket(t, counted, Options{TTL: time.Minute, MaxKeys: 100})
		for n := range 101 {
			put(t, b, fmt.Sprint("dir/", n))
		}
		refused := func(b *Bucket) {
			t.Helper()
			for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
				if !errors.Is(err, objstore.ErrUnsupported) || !strings.Contains(err.Error(), "mount a prefix") {
					t.Errorf("101 keys of 100: %v", err)
				}
			}
			if keys, _ := b.Size(); keys != 0 {
				t.Errorf("%d keys are kept of an index that cannot be used", keys)
			}
		}
		refused(b)
		requests = 0
		refused(b)
		if requests != 0 {
			t.Errorf("a bucket that is too large is listed again at once, by %d requests", requests)
		}
		if err := b.Delete(t.Context(), "dir/0"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(refusedFor)
		if got, _ := listed(t, b, objstore.ListOptions{}); len(got) != 100 {
			t.Errorf("with one less, %d are listed", len(got))
		}
		put(t, b, "dir/one", "dir/more")
		refused(b)
		below := newBucket(t, store, Options{TTL: time.Hour, MaxKeys: 100, Prefix: "dir/1"})
		if got, _ := listed(t, below, objstore.ListOptions{Prefix: "dir/1"}); len(got) != 12 { // dir/1, dir/1N and dir/100
			t.Errorf("below a prefix: %q", got)
		}
	})
}

// endless has keys without end in each shard.
type endless struct {
	objstore.Bucket
	listed atomic.Int64
}

func (e *endless) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		var page objstore.Page
		for n := 0; ctx.Err() == nil; n++ {
			stored := Encode(fmt.Sprint(opts.Prefix, opts.StartAfter, n))
			if !strings.HasPrefix(stored, opts.Prefix) {
				continue
			}
			page.Entries = append(page.Entries, objstore.Entry{Key: stored})
			if len(page.Entries) < 10 {
				continue
			}
			e.listed.Add(int64(len(page.Entries)))
			if !yield(page, nil) {
				return
			}
			page.Entries = nil
		}
		yield(objstore.Page{}, ctx.Err())
	}
}

// All listings together end when there are more keys than may be, not each of them by itself.
func TestTooManyKeysEndAllListings(t *testing.T) {
	store := &endless{Bucket: memstore.New("bucket")}
	b := newBucket(t, store, Options{TTL: time.Hour, MaxKeys: 1000})
	for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if !errors.Is(err, objstore.ErrUnsupported) {
			t.Errorf("an endless bucket: %v", err)
		}
	}
	if listed := store.listed.Load(); listed > 3000 { // and the pages that were under way
		t.Errorf("%d keys were taken of a bucket of which 1000 may be", listed)
	}
}

// What is written before anybody lists takes no memory, however much it is.
func TestWritesBeforeTheIndex(t *testing.T) {
	b := newBucket(t, memstore.New("bucket"), Options{TTL: time.Hour})
	for n := range 100 {
		put(t, b, fmt.Sprint(n))
	}
	for i := range b.index.shards {
		if kept := len(b.index.shards[i].changes); kept != 0 {
			t.Fatalf("%d writes are kept for an index that nobody has asked for", kept)
		}
	}
	if got, _ := listed(t, b, objstore.ListOptions{}); len(got) != 100 {
		t.Errorf("%d are listed", len(got))
	}
}

// A plain key has seven bytes less than a stored one.
func TestLongestKey(t *testing.T) {
	b := newBucket(t, objstore.NewRetry(memstore.New("bucket"), objstore.RetryPolicy{}), Options{})
	if got := objstore.LongestKey(b); got != 1017 || len(Encode(strings.Repeat("x", got))) != objstore.MaxKey {
		t.Errorf("a key has up to %d bytes", got)
	}
	if got := objstore.LongestKey(memstore.New("bucket")); got != 1024 {
		t.Errorf("a plain key has up to %d bytes", got)
	}
}

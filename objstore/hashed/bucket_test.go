package hashed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/objstoretest"
)

// A bucket with hashed keys is a bucket as any other.
func TestConformance(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Bucket {
		return newBucket(t, memstore.New("bucket"), Options{TTL: time.Hour})
	}, objstoretest.Quirks{})
}

func newBucket(t *testing.T, inner objstore.Bucket, options Options) *Bucket {
	t.Helper()
	b := New(inner, options)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func put(t *testing.T, b objstore.Bucket, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := b.Put(t.Context(), key, strings.NewReader(key), int64(len(key)), objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
}

// listed are the keys and prefixes, and when it was so.
func listed(t *testing.T, b objstore.Bucket, opts objstore.ListOptions) (names []string, asOf time.Time) {
	t.Helper()
	for page, err := range b.List(t.Context(), opts) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			names = append(names, e.Key)
		}
		names, asOf = append(names, page.Prefixes...), page.AsOf
	}
	slices.Sort(names)
	return names, asOf
}

func expect(t *testing.T, b objstore.Bucket, opts objstore.ListOptions, want ...string) {
	t.Helper()
	if got, _ := listed(t, b, opts); !slices.Equal(got, want) {
		t.Errorf("%+v: %q, should be %q", opts, got, want)
	}
}

// Objects are stored under the hashes of their keys, and those that others have stored so are found.
func TestForm(t *testing.T) {
	store := memstore.New("bucket")
	put(t, store, "0cc175/a", Encode("dir/b"))
	b := newBucket(t, store, Options{TTL: time.Hour})
	put(t, b, "dir/c")
	if e, err := store.Stat(t.Context(), Encode("dir/c")); err != nil || e.Size != 5 {
		t.Errorf("stored: %+v, %v", e, err)
	}
	if e, err := b.Stat(t.Context(), "a"); err != nil || e.Key != "a" {
		t.Errorf("found: %+v, %v", e, err)
	}
	expect(t, b, objstore.ListOptions{Delimiter: "/"}, "a", "dir/")
	expect(t, b, objstore.ListOptions{Prefix: "dir/", Delimiter: "/"}, "dir/b", "dir/c")
	if !strings.HasSuffix(b.Endpoint(), EndpointMark) {
		t.Error("a version here is one of the bucket as it is")
	}
}

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

// An index that cannot be made is an error for who needs the first, and for the others when theirs is far too old; and who gives up waiting goes.
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

// The index is there again after a restart, with what was written; one that is damaged, or of something else, is made anew.
func TestSaved(t *testing.T) {
	store := memstore.New("bucket")
	file := filepath.Join(t.TempDir(), "index")
	options := Options{TTL: time.Hour, File: file, Prefix: "dir/"}
	first := New(store, options)
	var want []string
	for n := range 300 {
		want = append(want, fmt.Sprintf("dir/%03d", n))
	}
	put(t, first, append(want, "elsewhere")...)
	expect(t, first, objstore.ListOptions{Prefix: "dir/"}, want...)
	put(t, first, "dir/last")
	want = append(want, "dir/last")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	requests := 0
	counted := &counting{Bucket: store, requests: &requests}
	again := newBucket(t, counted, options)
	if !again.IndexReady() {
		t.Error("the saved index is not used")
	}
	expect(t, again, objstore.ListOptions{Prefix: "dir/"}, want...)
	if requests != 0 {
		t.Errorf("%d listings were made for a saved index", requests)
	}
	for page, err := range again.List(t.Context(), objstore.ListOptions{}) {
		if err == nil {
			t.Errorf("what is not mounted is listed: %+v", page)
		}
	}
	options.Prefix = "other/"
	if newBucket(t, store, options).IndexReady() {
		t.Error("the index of another prefix is used")
	}
	options.Prefix = "dir/"
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 30, len(whole) / 2, len(whole) - 1} {
		torn := bytes.Clone(whole)
		torn[at] ^= 0x40
		if err := os.WriteFile(file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if New(store, options).IndexReady() {
			t.Errorf("an index with a wrong byte at %d of %d is used", at, len(whole))
		}
		if err := os.WriteFile(file, whole[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		if New(store, options).IndexReady() {
			t.Errorf("an index of %d bytes of %d is used", at, len(whole))
		}
	}
}

type counting struct {
	objstore.Bucket
	requests *int
}

func (c *counting) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	*c.requests++
	return c.Bucket.List(ctx, opts)
}

// A bucket of which not all is hashed is told of, once, with an example and what to do.
func TestMixed(t *testing.T) {
	for _, plain := range []string{"train/x", "0cc176/a", "IMG.jpg", "!first", "zz"} {
		store := memstore.New("bucket")
		put(t, store, Encode("a"), Encode("b"), plain)
		var log bytes.Buffer
		b := New(store, Options{TTL: time.Nanosecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
		expect(t, b, objstore.ListOptions{}, "a", "b")
		expect(t, b, objstore.ListOptions{}, "a", "b")
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); strings.Count(got, "mixes layouts") != 1 || !strings.Contains(got, plain) || !strings.Contains(got, "keys migrate") {
			t.Errorf("beside %s: %s", plain, got)
		}
	}
	var entries []objstore.Entry
	for _, key := range []string{"a", "b", "c"} {
		if LooksHashed(entries) {
			t.Errorf("%d keys are enough to tell", len(entries))
		}
		entries = append(entries, objstore.Entry{Key: Encode(key)})
	}
	if !LooksHashed(entries) || LooksHashed(append(entries, objstore.Entry{Key: "plain"})) {
		t.Error("what is hashed is not told from what is not")
	}
}

// More keys than an index may have are refused, and the error says what to do.
func TestTooManyKeys(t *testing.T) {
	store := memstore.New("bucket")
	b := newBucket(t, store, Options{TTL: time.Hour, MaxKeys: 100})
	for n := range 101 {
		put(t, b, fmt.Sprint("dir/", n))
	}
	for _, err := range b.List(t.Context(), objstore.ListOptions{}) {
		if !errors.Is(err, objstore.ErrUnsupported) || !strings.Contains(err.Error(), "mount a prefix") {
			t.Errorf("101 keys of 100: %v", err)
		}
	}
	below := newBucket(t, store, Options{TTL: time.Hour, MaxKeys: 100, Prefix: "dir/1"})
	if got, _ := listed(t, below, objstore.ListOptions{Prefix: "dir/1"}); len(got) != 12 {
		t.Errorf("below a prefix: %q", got)
	}
}

package hashed

import (
	"slices"
	"strings"
	"testing"
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

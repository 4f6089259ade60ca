package hashed

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// The index is there again after a restart, with what was written; one that is damaged, or of something else, is made
// anew.
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
	mu       sync.Mutex // guards requests while listings are under way
	requests *int
}

func (c *counting) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	c.mu.Lock()
	*c.requests++
	c.mu.Unlock()
	return c.Bucket.List(ctx, opts)
}

// A saved index is not used by the next mount when this one has written since and was killed, nor one of the future;
// what was left half-written goes.
func TestSavedAndKilled(t *testing.T) {
	store := memstore.New("bucket")
	dir := t.TempDir()
	file := filepath.Join(dir, "index")
	options := Options{TTL: time.Hour, File: file}
	first := New(store, options)
	put(t, first, "a")
	expect(t, first, objstore.ListOptions{}, "a")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	early := options
	early.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	if New(store, early).IndexReady() {
		t.Error("an index of the future is used")
	}
	killed := New(store, options) // never closed
	if !killed.IndexReady() {
		t.Error("the saved index is not used")
	}
	put(t, killed, "b")
	left := filepath.Join(dir, "index.123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	last := New(store, options)
	expect(t, last, objstore.ListOptions{}, "a", "b")
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "index" {
		t.Errorf("%v is left, %v", entries, err)
	}
}

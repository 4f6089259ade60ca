package names

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// newOld makes a tree that has listed a directory of so many files, all of which may be too old now.
func newOld(t *testing.T, files int, change ...func(*Config)) (*fake, *Tree, *clock, []Item) {
	t.Helper()
	f := newFake()
	for n := range files {
		f.put(fmt.Sprintf("d/%05d", n), "etag")
	}
	tree, clock := newTree(t, f, change...)
	s := tree.ReadDir(t.Context(), "d/")
	items := all(t, s)
	s.Close()
	f.take()
	clock.advance(time.Second)
	return f, tree, clock, items
}

// stat asks for an item as the file system does: of the store when what is remembered is too old.
func stat(t *testing.T, tree *Tree, clock *clock, item Item) Item {
	t.Helper()
	if known, ok := tree.Recall("d/", item.Name); ok && clock.Now().Sub(known.Confirmed) < time.Second {
		return known
	}
	known, err := tree.Stat(t.Context(), item)
	if err != nil {
		t.Fatalf("%s: %v", item.Name, err)
	}
	if clock.Now().Sub(known.Confirmed) >= time.Second {
		t.Fatalf("%s: an answer of %v", item.Name, known.Confirmed)
	}
	return known
}

// count is how many of the requests begin so.
func count(requests []string, start string) (n int) {
	for _, r := range requests {
		if strings.HasPrefix(r, start) {
			n++
		}
	}
	return n
}

// Who asks for each file of a directory, in its order, when its listing is too old, costs the store a page for each
// thousand, and each is told what the store says within the TTL.
func TestRenewal(t *testing.T) {
	f, tree, clock, items := newOld(t, 5000)
	f.put("d/02500", "another")
	for _, item := range items {
		want := "etag"
		if item.Name == "02500" {
			want = "another"
		}
		if got := stat(t, tree, clock, item); got.Entry.ETag != want || got.Key != item.Key {
			t.Fatalf("%s: %+v", item.Name, got)
		}
	}
	requests := f.take()
	if heads, lists := count(requests, "HEAD"), count(requests, "LIST"); heads > inOrder+1 || lists > 6 {
		t.Errorf("%d HEADs and %d LISTs", heads, lists)
	}
}

// Where time passes, what a page has told is believed for the TTL and no longer.
func TestRenewalGetsOld(t *testing.T) {
	f, tree, clock, items := newOld(t, 1000)
	for _, item := range items[:100] {
		stat(t, tree, clock, item)
	}
	clock.advance(time.Second)
	f.put("d/00100", "another")
	f.take()
	if got := stat(t, tree, clock, items[100]); got.Entry.ETag != "another" {
		t.Errorf("%+v", got)
	}
	f.expect(t, "HEAD d/00100")
}

// One name, some at random, those of a directory that was not listed, and those for which nothing is believed, are
// asked for one by one.
func TestNoRenewal(t *testing.T) {
	heads := func(f *fake, want int) {
		t.Helper()
		if requests := f.take(); count(requests, "HEAD") != want || len(requests) != want {
			t.Errorf("%d requests: %v", len(requests), requests[:min(5, len(requests))])
		}
	}
	f, tree, clock, items := newOld(t, 1000)
	for n := range 100 {
		stat(t, tree, clock, items[n*617%1000])
	}
	heads(f, 100)

	f, tree, _, items = newOld(t, 100, func(c *Config) { c.TTL = 0 })
	for _, item := range items {
		if _, err := tree.Stat(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
	heads(f, 100)

	other, clock := newTree(t, f)
	for _, item := range items {
		stat(t, other, clock, item)
	}
	heads(f, 100)
}

// A file that is gone, or has become a directory, is not there, and a listing that fails leaves the question to be
// asked for the name itself.
func TestRenewalOfWhatChanged(t *testing.T) {
	f, tree, clock, items := newOld(t, 100)
	for _, item := range items[:20] {
		stat(t, tree, clock, item)
	}
	clock.advance(time.Second)
	f.remove("d/00040")
	f.put("d/00041/x", "etag")
	for _, item := range items[20:40] {
		stat(t, tree, clock, item)
	}
	if _, err := tree.Stat(t.Context(), items[40]); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
	if item, err := tree.Lookup(t.Context(), "d/", "00041"); err != nil || !item.Dir {
		t.Errorf("a file that is a directory, too: %+v, %v", item, err)
	}

	f, tree, clock, items = newOld(t, 100)
	f.setHook(func(_ context.Context, request string) error {
		if request == "LIST d/" {
			return objstore.ErrTimeout
		}
		return nil
	})
	for _, item := range items {
		stat(t, tree, clock, item)
	}
}

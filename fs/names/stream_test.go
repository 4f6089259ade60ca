package names

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// numbered is a store with n files "d/000000" and so on.
func numbered(n int) *fake {
	f := newFake()
	for i := range n {
		f.put(fmt.Sprintf("d/%06d", i), "etag")
	}
	return f
}

func namesOf(items []Item) []string {
	var names []string
	for _, item := range items {
		names = append(names, item.Name)
	}
	return names
}

// some reads n items.
func some(t *testing.T, s *Stream, n int) []Item {
	t.Helper()
	var items []Item
	for range n {
		item, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}

// ls -l of 999 files in a directory already looked up is one LIST.
func TestListingADirectoryAndLookingUpAllNames(t *testing.T) {
	f := numbered(999)
	f.put("d/", "") // makes a thousand keys
	tree, clock := newTree(t, f)
	items := all(t, tree.ReadDir(t.Context(), "d/"))
	if len(items) != 999 {
		t.Fatalf("%d items", len(items))
	}
	for _, item := range items {
		found, err := tree.Lookup(t.Context(), "d/", item.Name)
		if err != nil || found.Entry.ETag != "etag" || found.Entry.Size == 0 || found.Entry.ModTime.Unix() != 1e9 {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	if _, err := tree.Lookup(t.Context(), "d/", "none"); !errors.Is(err, objstore.ErrNotExist) {
		t.Error(err)
	}
	if again := all(t, tree.ReadDir(t.Context(), "d/")); !slices.Equal(namesOf(again), namesOf(items)) {
		t.Error("another reader gets other items")
	}
	f.expect(t, "LIST d/")
	clock.advance(time.Second)
	all(t, tree.ReadDir(t.Context(), "d/"))
	f.expect(t, "LIST d/")
}

func TestEmptyDirectory(t *testing.T) {
	f := newFake("d/")
	tree, _ := newTree(t, f)
	for _, dir := range []string{"d/", "none/"} {
		if items := all(t, tree.ReadDir(t.Context(), dir)); items != nil {
			t.Errorf("%q: %v", dir, items)
		}
	}
}

// The pass is one page ahead of its reader, and no more.
func TestNextPageIsPrefetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(50)
		f.page = 10
		tree, _ := newTree(t, f)
		s := tree.ReadDir(t.Context(), "d/")
		defer s.Close()
		synctest.Wait()
		f.expect(t) // nothing before the first Next
		some(t, s, 1)
		synctest.Wait()
		f.expect(t, "LIST d/", "LIST d/")
		some(t, s, 8) // the tenth is held back until the second page has come
		synctest.Wait()
		f.expect(t)
		some(t, s, 1)
		synctest.Wait()
		f.expect(t, "LIST d/")
		tree.check(t)
	})
}

func TestReadersAtOnceShareOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(45)
		f.page = 10
		tree, _ := newTree(t, f)
		fast, slow := tree.ReadDir(t.Context(), "d/"), tree.ReadDir(t.Context(), "d/")
		first := some(t, slow, 1)
		items := all(t, fast)
		rest := all(t, slow)
		if !slices.Equal(namesOf(append(first, rest...)), namesOf(items)) || len(items) != 45 {
			t.Errorf("%d and %d items", len(items), 1+len(rest))
		}
		if n := len(f.take()); n != 5 {
			t.Errorf("%d requests for 5 pages", n)
		}
	})
}

func TestReaderThatGivesUpWaitingStandsWhereItStood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(25)
		f.page = 10
		hook, open := gate("LIST")
		f.hook = hook
		tree, _ := newTree(t, f)
		s, other := tree.ReadDir(t.Context(), "d/"), tree.ReadDir(t.Context(), "d/")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan []Item)
		go func() { done <- all(t, other) }()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		open()
		if n := len(<-done); n != 25 {
			t.Errorf("the other reader got %d items", n)
		}
		if n := len(all(t, s)); n != 25 {
			t.Errorf("then this one got %d", n)
		}
		f.expect(t, "LIST d/", "LIST d/", "LIST d/")
	})
}

// What passes by is known to Lookup, also of a listing that nobody reads to its end.
func TestListingLeftInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := numbered(50)
		f.page = 10
		var requests, ended atomic.Int32
		f.hook = func(ctx context.Context, _ string) error {
			if requests.Add(1) > 2 {
				<-ctx.Done()
				ended.Add(1)
			}
			return ctx.Err()
		}
		tree, _ := newTree(t, f)
		s := tree.ReadDir(t.Context(), "d/")
		some(t, s, 10)
		synctest.Wait()
		s.Close()
		synctest.Wait()
		if ended.Load() != 1 {
			t.Error("the request for the next page goes on")
		}
		f.setHook(nil)
		f.take()
		if _, err := tree.Lookup(t.Context(), "d/", "000005"); err != nil {
			t.Error(err)
		}
		f.expect(t)
		if n := len(all(t, tree.ReadDir(t.Context(), "d/"))); n != 50 {
			t.Errorf("the next reader gets %d items", n)
		}
	})
}

// What comes or goes meanwhile, before the place or just there, loses and doubles nothing else.
func TestFailedRequestIsTriedAnewByTheNextCall(t *testing.T) {
	for _, test := range []struct{ remove, want int }{{-1, 31}, {7, 31}, {18, 31}, {19, 30}} {
		f := numbered(30)
		f.page = 10
		broken := errors.New("broken")
		var requests int
		f.hook = func(context.Context, string) error {
			if requests++; requests == 3 {
				return broken
			}
			return nil
		}
		tree, _ := newTree(t, f)
		s := tree.ReadDir(t.Context(), "d/")
		items := some(t, s, 19)
		if _, err := s.Next(t.Context()); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		f.put("d/000025a", "etag")
		f.remove(fmt.Sprintf("d/%06d", test.remove))
		if test.remove == 7 {
			f.put("d/000003a", "etag")
			f.put("d/000003b", "etag")
		}
		got := namesOf(append(items, all(t, s)...))
		if len(got) != test.want || !slices.IsSorted(got) || len(slices.Compact(got)) != test.want {
			t.Errorf("%d removed: %q", test.remove, got)
		}
	}
}

// A reader that is left behind in a directory too large to keep still gets every name once.
func TestReaderLeftBehind(t *testing.T) {
	f := numbered(400)
	f.page = 10
	tree, _ := newTree(t, f, func(c *Config) { c.MaxCached = 100 })
	fast, slow := tree.ReadDir(t.Context(), "d/"), tree.ReadDir(t.Context(), "d/")
	items := some(t, slow, 15)
	if n := len(all(t, fast)); n != 400 {
		t.Errorf("%d items", n)
	}
	tree.check(t)
	if got := namesOf(append(items, all(t, slow)...)); len(got) != 400 || !slices.IsSorted(got) || len(slices.Compact(got)) != 400 {
		t.Errorf("%q", got)
	}
}

// huge is a directory of n names without keeping them, and counts the pages that were asked for.
type huge struct {
	*fake
	n     int
	pages atomic.Int64
}

func (h *huge) List(context.Context, objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		for i := 0; i < h.n; i += 1000 {
			h.pages.Add(1)
			page := objstore.Page{Entries: make([]objstore.Entry, min(1000, h.n-i))}
			for j := range page.Entries {
				page.Entries[j] = objstore.Entry{Key: fmt.Sprintf("d/%08d", i+j), ETag: "etag", Size: 1}
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

func TestDirectoryOfAnySizeInBoundedMemory(t *testing.T) {
	const limit = 8000
	h := &huge{fake: newFake(), n: 60_000}
	tree := New(h, Config{TTL: time.Hour, MaxCached: limit})
	defer tree.Close()
	s := tree.ReadDir(t.Context(), "d/")
	defer s.Close()
	for i := range h.n {
		item, err := s.Next(t.Context())
		if err != nil || item.Name != fmt.Sprintf("%08d", i) {
			t.Fatalf("item %d: %+v, %v", i, item, err)
		}
		if ahead := h.pages.Load()*1000 - int64(i); ahead > 2001 {
			t.Fatalf("at item %d, %d names ahead", i, ahead)
		}
		if i%1000 == 500 {
			tree.check(t)
			if _, err := tree.Lookup(t.Context(), "d/", item.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if n := len(h.take()); n != 0 {
		t.Errorf("%d requests for names just listed", n)
	}
}

func TestForgottenNameIsAskedFor(t *testing.T) {
	f := numbered(10)
	tree, _ := newTree(t, f)
	all(t, tree.ReadDir(t.Context(), "d/"))
	f.put("d/000003", "new")
	f.take()
	tree.Forget("d/", "000003")
	if item, err := tree.Lookup(t.Context(), "d/", "000003"); err != nil || item.Entry.ETag != "new" {
		t.Errorf("%+v, %v", item, err)
	}
	f.expect(t, "HEAD d/000003", "LIST d/000003/ (1)")
	if _, err := tree.Lookup(t.Context(), "d/", "000004"); err != nil {
		t.Error(err)
	}
	f.expect(t) // the other names are still known
	items := all(t, tree.ReadDir(t.Context(), "d/"))
	if len(items) != 10 || items[3].Entry.ETag != "new" {
		t.Errorf("%v", items)
	}
	f.expect(t, "LIST d/")
}

// However names are asked for, what is kept of them stays within its limits.
func TestMemoryIsBounded(t *testing.T) {
	f := newFake()
	for d := range 30 {
		for i := range d * 3 {
			f.put(fmt.Sprintf("%02d/%03d", d, i), "etag")
		}
	}
	f.page = 20
	tree, clock := newTree(t, f, func(c *Config) { c.MaxCached = 100 })
	for round := range 3 {
		for d := range 30 {
			dir := fmt.Sprintf("%02d/", d*7%30)
			s := tree.ReadDir(t.Context(), dir)
			for i := range d * 3 {
				if _, err := s.Next(t.Context()); errors.Is(err, io.EOF) {
					break
				}
				_, err := tree.Lookup(t.Context(), dir, fmt.Sprintf("%03d", i))
				if err != nil && !errors.Is(err, objstore.ErrNotExist) {
					t.Fatal(err)
				}
				tree.check(t)
			}
			s.Close()
			tree.check(t)
			clock.advance(time.Duration(round) * 300 * time.Millisecond)
		}
		for i := range 2 * maxForgotten {
			tree.Forget("00/", fmt.Sprint(i))
		}
		tree.check(t)
	}
}

package names

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// expect asserts what requests were made since it was last called; order does not matter.
func (f *fake) expect(t *testing.T, requests ...string) {
	t.Helper()
	slices.Sort(requests)
	if got := f.take(); !slices.Equal(got, requests) {
		t.Errorf("requests %q, want %q", got, requests)
	}
}

func TestLookupCosts(t *testing.T) {
	f := newFake("d/", "d/a", "d/b/c", "d/x", "d/x/y")
	tree, clock := newTree(t, f)
	for _, test := range []struct {
		name     string
		dir      bool
		key      string // empty for none
		requests []string
	}{
		{"a", false, "d/a", []string{"HEAD d/a", "LIST d/a/ (1)"}},
		{"b", true, "d/b/", []string{"HEAD d/b", "LIST d/b/ (1)"}},
		{"x", true, "d/x/", []string{"HEAD d/x", "LIST d/x/ (1)"}},
		{"%file=x", false, "d/x", []string{"HEAD d/x", "LIST d/x/ (1)"}},
		{"%file=a", false, "", []string{"HEAD d/a", "LIST d/a/ (1)"}},
		{"none", false, "", []string{"HEAD d/none", "LIST d/none/ (1)"}},
		{"%file=", false, "", []string{"HEAD d/"}},
		{"%name=a", false, "", nil},
		{"..", false, "", nil},
		{"%part=" + strings.Repeat("x", 249), false, "", []string{"LIST d/" + strings.Repeat("x", 249)}},
	} {
		for round, requests := range [][]string{test.requests, nil, test.requests} {
			if round == 2 {
				clock.advance(time.Second)
			}
			item, err := tree.Lookup(t.Context(), "d/", test.name)
			if test.key == "" && !errors.Is(err, objstore.ErrNotExist) || test.key != "" && err != nil {
				t.Errorf("%q: error %v", test.name, err)
			}
			if item.Key != test.key || item.Dir != test.dir || !item.Dir && item.Entry.Key != test.key {
				t.Errorf("%q: %+v", test.name, item)
			}
			if err == nil && round != 1 && !item.Confirmed.Equal(clock.Now()) {
				t.Errorf("%q: confirmed %v, want %v", test.name, item.Confirmed, clock.Now())
			}
			tree.tasks.Wait() // a directory may be known before the object has been asked for
			if got := f.take(); !slices.Equal(got, requests) {
				t.Errorf("%q, round %d: requests %q, want %q", test.name, round, got, requests)
			}
		}
	}
}

func TestLongestKeys(t *testing.T) {
	dir := strings.Repeat("d/", 500)
	key := dir + strings.Repeat("x", maxKey-len(dir))
	f := newFake(key)
	tree, _ := newTree(t, f)
	if item, err := tree.Lookup(t.Context(), dir, key[len(dir):]); err != nil || item.Key != key {
		t.Errorf("%+v, %v", item, err)
	}
	f.expect(t, "HEAD "+key) // nothing can lie below it
	if _, err := tree.Lookup(t.Context(), dir, key[len(dir):]+"x"); !errors.Is(err, objstore.ErrNotExist) {
		t.Error(err)
	}
	f.expect(t)
}

func TestImmutableNamesAreNotAskedForAgain(t *testing.T) {
	f := newFake("a")
	tree, clock := newTree(t, f, func(c *Config) { c.Immutable = true })
	for _, name := range []string{"a", "none"} {
		_, err := tree.Lookup(t.Context(), "", name)
		if absent := errors.Is(err, objstore.ErrNotExist); absent != (name == "none") {
			t.Errorf("%q: %v", name, err)
		}
	}
	f.take()
	clock.advance(time.Hour)
	if _, err := tree.Lookup(t.Context(), "", "a"); err != nil {
		t.Error(err)
	}
	f.expect(t)
	f.put("none", "etag")
	if _, err := tree.Lookup(t.Context(), "", "none"); err != nil {
		t.Errorf("\"not found\" outlives the TTL: %v", err)
	}
}

func TestImmutableListing(t *testing.T) {
	f := newFake("d/a")
	tree, clock := newTree(t, f, func(c *Config) { c.Immutable = true })
	all(t, tree.ReadDir(t.Context(), "d/"))
	f.take()
	clock.advance(time.Hour)
	f.put("d/b", "etag")
	if items := all(t, tree.ReadDir(t.Context(), "d/")); len(items) != 1 {
		t.Errorf("%v", items)
	}
	f.expect(t)
	if _, err := tree.Lookup(t.Context(), "d/", "b"); err != nil {
		t.Errorf("a listing's \"not found\" outlives the TTL: %v", err)
	}
}

func TestWithoutTTLEveryLookupAsks(t *testing.T) {
	f := newFake("a")
	tree, _ := newTree(t, f, func(c *Config) { c.TTL = 0 })
	for range 2 {
		if _, err := tree.Lookup(t.Context(), "", "a"); err != nil {
			t.Error(err)
		}
		f.expect(t, "HEAD a", "LIST a/ (1)")
		all(t, tree.ReadDir(t.Context(), ""))
		f.expect(t, "LIST ")
	}
}

func TestDecide(t *testing.T) {
	no := &objstore.Error{Err: objstore.ErrNotExist}
	denied := &objstore.Error{Err: objstore.ErrPermission}
	broken := &objstore.Error{Err: objstore.ErrTimeout}
	who := &objstore.Error{Err: objstore.ErrCredentials}
	gone := &objstore.Error{Err: objstore.ErrNoBucket}
	for _, test := range []struct {
		form          form
		object, below error
		kind          kind
		err           error
	}{
		{either, nil, nil, directory, nil},
		{either, no, nil, directory, nil},
		{either, denied, nil, directory, nil},
		{either, broken, nil, directory, nil},
		{either, nil, no, file, nil},
		{either, nil, denied, file, nil},
		{either, nil, broken, nothing, broken},
		{either, nil, who, nothing, who},
		{either, no, no, nothing, nil},
		{either, no, denied, nothing, denied},
		{either, no, broken, nothing, broken},
		{either, denied, no, nothing, denied},
		{either, denied, denied, nothing, denied},
		{either, denied, broken, nothing, broken},
		{either, broken, no, nothing, broken},
		{either, broken, denied, nothing, broken},
		{either, gone, gone, nothing, gone},
		{beside, nil, nil, file, nil},
		{beside, nil, no, nothing, nil},
		{beside, no, nil, nothing, nil},
		{beside, nil, denied, nothing, denied},
		{beside, denied, nil, nothing, denied},
		{beside, no, denied, nothing, nil},
		{beside, gone, gone, nothing, gone},
	} {
		kind, err := decide(test.form, test.object, test.below)
		if kind != test.kind || err != test.err {
			t.Errorf("form %v, object: %v, below: %v: %v, %v; want %v, %v",
				test.form, test.object, test.below, kind, err, test.kind, test.err)
		}
	}
}

// A store may answer "forbidden" for objects that do not exist; and a missing bucket says nothing of names.
func TestLookupOfWhatIsForbidden(t *testing.T) {
	deny := func(err error, prefixes ...string) func(context.Context, string) error {
		return func(_ context.Context, request string) error {
			for _, p := range prefixes {
				if strings.HasPrefix(request, p) {
					return &objstore.Error{Op: request, Err: err}
				}
			}
			return nil
		}
	}
	for _, test := range []struct {
		name string
		hook func(context.Context, string) error
		key  string
		err  error
	}{
		{"a", deny(objstore.ErrPermission, "HEAD"), "a", nil}, // the listing tells
		{"none", deny(objstore.ErrPermission, "HEAD"), "", objstore.ErrNotExist},
		{"a", deny(objstore.ErrPermission, "LIST"), "a", nil},
		{"a", deny(objstore.ErrPermission, "HEAD", "LIST"), "", objstore.ErrPermission},
		{"none", deny(objstore.ErrPermission, "HEAD", "LIST"), "", objstore.ErrPermission},
		{"a", deny(objstore.ErrCredentials, "HEAD"), "", objstore.ErrCredentials},
		{"d", deny(objstore.ErrPermission, "HEAD"), "d/", nil},
		{"a", deny(objstore.ErrNoBucket, "HEAD", "LIST"), "", objstore.ErrNoBucket},
	} {
		f := newFake("a", "d/b", "d/none/")
		f.hook = test.hook
		tree, _ := newTree(t, f)
		for range 2 {
			item, err := tree.Lookup(t.Context(), "", test.name)
			if item.Key != test.key || !errors.Is(err, test.err) {
				t.Errorf("%q: %+v, %v; want %q, %v", test.name, item, err, test.key, test.err)
			}
		}
		if n := len(f.take()); n == 0 || (test.err == nil || test.err == objstore.ErrNotExist) != (n <= 3) {
			t.Errorf("%q, %v: %d requests: errors must not be remembered, answers must", test.name, test.err, n)
		}
	}
}

func TestStatAsksForTheObjectAlone(t *testing.T) {
	f := newFake("d/a", "d/e/f")
	f.put("d/", "full")
	tree, clock := newTree(t, f)
	for _, item := range all(t, tree.ReadDir(t.Context(), "d/")) {
		f.take()
		clock.advance(time.Millisecond)
		if !item.Dir {
			f.put(item.Key, "full")
		}
		now, err := tree.Stat(t.Context(), item)
		if err != nil || now.Key != item.Key || !now.Confirmed.Equal(clock.Now()) {
			t.Errorf("%+v: %+v, %v", item, now, err)
		}
		if item.Dir {
			f.expect(t, "LIST "+item.Key+" (1)")
			continue
		}
		f.expect(t, "HEAD "+item.Key)
		if found, err := tree.Lookup(t.Context(), "d/", item.Name); err != nil || found.Entry.ETag != "full" {
			t.Errorf("after Stat, Lookup gives %+v, %v", found, err)
		}
		f.expect(t)
		f.remove(item.Key)
		if _, err := tree.Stat(t.Context(), item); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("%+v: %v, want ErrNotExist", item, err)
		}
		if _, err := tree.Lookup(t.Context(), "d/", item.Name); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("%+v: remembered though it is gone: %v", item, err)
		}
	}
}

func TestStatOfAnItemThatIsNone(t *testing.T) {
	tree, _ := newTree(t, newFake("a"))
	if _, err := tree.Stat(t.Context(), Item{Name: "b", Key: "a"}); !errors.Is(err, objstore.ErrNotExist) {
		t.Error(err)
	}
}

// An object that is a directory's own is a file only while it has content.
func TestMarkerThatLosesItsContent(t *testing.T) {
	f := newFake("d/a")
	f.put("d/", "full")
	tree, _ := newTree(t, f)
	item, err := tree.Lookup(t.Context(), "d/", "%file=")
	if err != nil || item.Key != "d/" || item.Dir {
		t.Fatalf("%+v, %v", item, err)
	}
	f.put("d/", "empty")
	if _, err := tree.Stat(t.Context(), item); !errors.Is(err, objstore.ErrNotExist) {
		t.Error(err)
	}
}

func BenchmarkLookupInListing(b *testing.B) {
	f := newFake()
	for i := range 1000 {
		f.put(fmt.Sprintf("d/%04d", i), "etag")
	}
	tree := New(f, Config{TTL: time.Hour})
	defer tree.Close()
	s := tree.ReadDir(b.Context(), "d/")
	for _, err := s.Next(b.Context()); err == nil; _, err = s.Next(b.Context()) {
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.Lookup(b.Context(), "d/", "0500"); err != nil {
			b.Fatal(err)
		}
	}
}

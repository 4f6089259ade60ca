package names

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// fileItem is a file as this mount holds it or has stored it.
func fileItem(dir, name, etag string) Item {
	key := dir + name
	return Item{Name: name, Key: key, Entry: objstore.Entry{Key: key, ETag: etag, Size: int64(len(key))}}
}

// means fails the test unless a name means a file with that ETag.
func means(t *testing.T, tree *Tree, dir, name, etag string) {
	t.Helper()
	item, err := tree.Lookup(t.Context(), dir, name)
	if err != nil || item.Dir || item.Key != dir+name || item.Entry.ETag != etag {
		t.Errorf("%q in %q: %+v, %v; should be a file with ETag %q", name, dir, item, err, etag)
	}
}

// meansNothing fails the test unless a name is not found.
func meansNothing(t *testing.T, tree *Tree, dir, name string) {
	t.Helper()
	if item, err := tree.Lookup(t.Context(), dir, name); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("%q in %q: %+v, %v; should not be found", name, dir, item, err)
	}
}

// A held name is found at once and listed once, whatever the store has; so are the directories above it. When it is
// released, the store counts.
func TestHold(t *testing.T) {
	f := newFake("d/in-store", "d/zz")
	tree, _ := newTree(t, f)
	tree.Hold("d/", fileItem("d/", "in-store", "held"))
	tree.Hold("d/", fileItem("d/", "new", ""))
	tree.Hold("d/sub/deep/", fileItem("d/sub/deep/", "new", ""))
	tree.Hold("d/", fileItem("d/", "new", "again"))
	means(t, tree, "d/", "in-store", "held")
	means(t, tree, "d/", "new", "again")
	for dir, name := range map[string]string{"": "d", "d/": "sub", "d/sub/": "deep"} {
		if item, err := tree.Lookup(t.Context(), dir, name); err != nil || !item.Dir || item.Key != dir+name+"/" {
			t.Errorf("%q in %q: %+v, %v; should be a directory", name, dir, item, err)
		}
	}
	f.expect(t)
	got := all(t, tree.ReadDir(t.Context(), "d/"))
	if names := namesOf(got); !slices.Equal(names, []string{"in-store", "zz", "new", "sub"}) || got[0].Entry.ETag != "held" {
		t.Errorf("listed are %q, the first as %+v", names, got[0])
	}
	for _, dir := range []string{"d/", "d/sub/", "d/sub/deep/"} {
		if empty, err := tree.Empty(t.Context(), dir); err != nil || empty {
			t.Errorf("%q is empty: %v, %v", dir, empty, err)
		}
	}
	tree.Release("d/", "in-store")
	tree.Release("d/", "new")
	tree.Release("d/sub/deep/", "new")
	tree.Release("d/", "never held")
	means(t, tree, "d/", "in-store", "etag")
	meansNothing(t, tree, "d/", "new")
	meansNothing(t, tree, "d/", "sub")
	if len(tree.own.held)+len(tree.own.below) > 0 {
		t.Errorf("all is released, and yet there is %+v", tree.own)
	}
}

// What this mount has stored or removed is known at once, against what a listing said before, and without a request.
func TestLearnAndGone(t *testing.T) {
	f := newFake("d/old", "d/replaced")
	tree, clock := newTree(t, f)
	all(t, tree.ReadDir(t.Context(), "d/"))
	f.take()
	tree.Learn("d/", fileItem("d/", "new", "new"))
	tree.Learn("d/", fileItem("d/", "replaced", "second"))
	tree.Gone("d/", "old")
	means(t, tree, "d/", "new", "new")
	means(t, tree, "d/", "replaced", "second")
	meansNothing(t, tree, "d/", "old")
	f.expect(t)
	f.put("d/new", "new")
	f.put("d/replaced", "second")
	f.remove("d/old")
	if names := namesOf(all(t, tree.ReadDir(t.Context(), "d/"))); !slices.Equal(names, []string{"new", "replaced"}) {
		t.Errorf("listed are %q", names)
	}
	f.put("d/old", "other") // by somebody else
	f.remove("d/new")
	clock.advance(time.Second)
	means(t, tree, "d/", "old", "other")
	meansNothing(t, tree, "d/", "new")
}

// What a listing that is under way says of a name is not believed when the name was changed after it began.
func TestLearnWhileListing(t *testing.T) {
	f := numbered(100)
	f.page = 10
	tree, _ := newTree(t, f)
	s := tree.ReadDir(t.Context(), "d/")
	some(t, s, 15)
	tree.Learn("d/", fileItem("d/", "000003", "second"))
	tree.Gone("d/", "000099")
	f.put("d/000003", "second")
	f.remove("d/000099")
	rest := namesOf(all(t, s))
	f.take()
	means(t, tree, "d/", "000003", "second")
	meansNothing(t, tree, "d/", "000099")
	f.expect(t)
	if len(rest) != 84 {
		t.Errorf("the reader saw %d more names, should be 84", len(rest))
	}
	if n := len(all(t, tree.ReadDir(t.Context(), "d/"))); n != 99 {
		t.Errorf("a later reader saw %d names, should be 99", n)
	}
}

// A directory that this mount has made is empty: what is made in it costs no request, as when an archive is extracted.
func TestNewDirectoryIsEmpty(t *testing.T) {
	f := newFake()
	tree, clock := newTree(t, f)
	f.put("d/", "marker")
	tree.Learn("", Item{Name: "d", Dir: true, Key: "d/"})
	for i := range 1000 {
		name := fmt.Sprint(i)
		meansNothing(t, tree, "d/", name)
		tree.Hold("d/", fileItem("d/", name, ""))
		means(t, tree, "d/", name, "")
		f.put("d/"+name, "etag")
		tree.Learn("d/", fileItem("d/", name, "etag"))
		tree.Release("d/", name)
		means(t, tree, "d/", name, "etag")
	}
	f.expect(t)
	if n := len(all(t, tree.ReadDir(t.Context(), "d/"))); n != 1000 {
		t.Errorf("%d names are listed", n)
	}
	f.put("d/theirs", "etag")
	clock.advance(time.Second)
	means(t, tree, "d/", "theirs", "etag")
}

// After a directory was renamed nothing that was heard of it before is believed, and what is held in it is held under
// its new name.
func TestRehome(t *testing.T) {
	f := newFake("from/a", "from/sub/b", "to/stale")
	tree, _ := newTree(t, f)
	all(t, tree.ReadDir(t.Context(), "from/"))
	all(t, tree.ReadDir(t.Context(), "to/"))
	tree.Hold("from/sub/", fileItem("from/sub/", "held", ""))
	for _, key := range []string{"from/a", "from/sub/b", "to/stale"} {
		f.remove(key)
	}
	f.put("to/a", "moved")
	f.put("to/sub/b", "moved")
	tree.Rehome("from/", "to/")
	tree.Gone("", "from")
	meansNothing(t, tree, "", "from")
	meansNothing(t, tree, "from/sub/", "held")
	means(t, tree, "to/", "a", "moved")
	means(t, tree, "to/sub/", "b", "moved")
	meansNothing(t, tree, "to/", "stale")
	if item, err := tree.Lookup(t.Context(), "to/sub/", "held"); err != nil || item.Key != "to/sub/held" || item.Entry.Key != item.Key {
		t.Errorf("what was held is %+v, %v", item, err)
	}
	if names := namesOf(all(t, tree.ReadDir(t.Context(), "to/sub/"))); !slices.Equal(names, []string{"b", "held"}) {
		t.Errorf("listed are %q", names)
	}
}

// A reader that has begun is given what was held then once, also when it is stored or released meanwhile.
func TestHeldNamesWhileReading(t *testing.T) {
	f := numbered(20)
	f.page = 5
	tree, _ := newTree(t, f)
	tree.Hold("d/", fileItem("d/", "000010", "held"))
	tree.Hold("d/", fileItem("d/", "000015-new", ""))
	tree.Hold("d/", fileItem("d/", "last", ""))
	s := tree.ReadDir(t.Context(), "d/")
	got := some(t, s, 3)
	f.put("d/000015-new", "stored")
	tree.Learn("d/", fileItem("d/", "000015-new", "stored"))
	tree.Release("d/", "000015-new")
	tree.Release("d/", "000010")
	tree.Hold("d/", fileItem("d/", "later", ""))
	names := namesOf(append(got, all(t, s)...))
	slices.Sort(names)
	if len(names) != 22 || len(slices.Compact(names)) != 22 {
		t.Errorf("%d names are given: %q", len(names), names)
	}
}

func TestNewKey(t *testing.T) {
	long := strings.Repeat("x", 255)
	deep := strings.Repeat(long+"/", 3)
	tree, _ := newTree(t, newFake())
	for _, c := range []struct {
		dir, name string
		isDir     bool
		key       string
		err       error
	}{
		{"", "a", false, "a", nil},
		{"d/", "a", false, "d/a", nil},
		{"d/", "a", true, "d/a/", nil},
		{"d/", "caf\u00e9 %", false, "d/caf\u00e9 %", nil},
		{"d/", "%name=%25name=x", false, "d/%name=x", nil},
		{"d/", "%file=a", false, "", objstore.ErrInvalid},
		{"d/", "%part=a", true, "", objstore.ErrInvalid},
		{"d/", "%name=.", false, "d/.", nil},
		{"d/", "%name=a", false, "", objstore.ErrInvalid}, // for which a needs no escape
		{deep, long[1:], true, deep + long[1:] + "/", nil},
		{deep, long, false, deep + long, nil}, // 1,023 bytes
		{deep, long, true, deep + long + "/", nil},
		{"d/" + deep, long[1:], false, "d/" + deep + long[1:], nil},
		{"d/" + deep, long[1:], true, "", ErrTooLong},
		{"d/" + deep, long, false, "", ErrTooLong},
	} {
		key, err := tree.NewKey(c.dir, c.name, c.isDir)
		if key != c.key || !errors.Is(err, c.err) {
			t.Errorf("%q in %q: %q, %v; should be %q, %v", c.name, c.dir, key, err, c.key, c.err)
		}
	}
}

// A directory is empty when it has no key but its own marker.
func TestEmpty(t *testing.T) {
	f := newFake("marked/", "full/", "full/a", "implied/a/b", "content/")
	f.put("content/", "full")
	tree, _ := newTree(t, f)
	for dir, want := range map[string]bool{"marked/": true, "none/": true, "full/": false, "implied/": false, "implied/a/": false, "content/": false} {
		if empty, err := tree.Empty(t.Context(), dir); err != nil || empty != want {
			t.Errorf("%q is empty: %v, %v; should be %v", dir, empty, err, want)
		}
	}
}

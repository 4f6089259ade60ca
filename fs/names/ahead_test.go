package names

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// ahead takes all that comes, n at a time.
func ahead(a *Ahead, n int) (names []string) {
	for more := true; more; {
		var items []Item
		items, more = a.Next(n)
		for _, i := range items {
			names = append(names, i.Name)
		}
	}
	return names
}

// A walk ahead goes from after the name to the end and then from the start, gives each file once and no directory, and
// asks nothing.
func TestAhead(t *testing.T) {
	f := numbered(50)
	f.put("d/sub/x", "etag")
	f.page = 10
	tree, clock := newTree(t, f)
	if tree.Ahead("d/", "10") != nil {
		t.Error("a directory that was not listed is walked")
	}
	var files []string
	for _, i := range all(t, tree.ReadDir(t.Context(), "d/")) {
		if !i.Dir {
			files = append(files, i.Name)
		}
	}
	f.take()
	clock.advance(time.Hour) // who asks for one of them asks for this version only
	for _, at := range []int{0, 7, 31, 49} {
		got := ahead(tree.Ahead("d/", files[at]), 7)
		if want := slices.Concat(files[at+1:], files[:at]); !slices.Equal(got[:49], want) || len(got) > 50+10 {
			t.Errorf("after %s: %q", files[at], got)
		}
	}
	if tree.Ahead("d/", "none") != nil || tree.Ahead("other/", files[0]) != nil {
		t.Error("what is not known is walked")
	}
	f.expect(t)
	tree.check(t)
}

// What was forgotten since it was listed, or is written here, is not given.
func TestAheadLeavesOut(t *testing.T) {
	f := numbered(5)
	tree, _ := newTree(t, f)
	items := all(t, tree.ReadDir(t.Context(), "d/"))
	tree.Forget("d/", items[2].Name)
	if got := ahead(tree.Ahead("d/", items[0].Name), 2); slices.Contains(got, items[2].Name) || !slices.Contains(got, items[3].Name) {
		t.Errorf("%q", got)
	}
}

// A listing that takes another's place is walked from where the walk was.
func TestAheadGoesOnInNextListing(t *testing.T) {
	f := numbered(40)
	tree, clock := newTree(t, f)
	items := all(t, tree.ReadDir(t.Context(), "d/"))
	a := tree.Ahead("d/", items[0].Name)
	a.Next(10)
	clock.advance(time.Hour)
	f.put("d/zz", "etag")
	all(t, tree.ReadDir(t.Context(), "d/"))
	got := ahead(a, 10)
	if got[0] != items[11].Name || !slices.Contains(got, "zz") {
		t.Errorf("%q", got)
	}
}

// However long a listing is, a walk looks at a bounded number of names in one go, and is not at its end for that.
func TestAheadLooksAtFewNames(t *testing.T) {
	const directories = 3 * lookedAt
	f := numbered(2)
	f.put("d/zz", "etag")
	for i := range directories {
		f.put(fmt.Sprintf("d/1-%05d/x", i), "etag")
	}
	tree, _ := newTree(t, f)
	items := all(t, tree.ReadDir(t.Context(), "d/"))
	walk, calls := tree.Ahead("d/", items[0].Name), 0
	var got []string
	for more := true; more; calls++ {
		var next []Item
		next, more = walk.Next(64)
		got = append(got, namesOf(next)...)
	}
	if calls < directories/lookedAt || !slices.Contains(got, "zz") {
		t.Errorf("%d calls for %d names gave %q", calls, len(items), got)
	}
}

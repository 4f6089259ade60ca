package names

import (
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore"
)

// oddComponents are components that need care, alone or beside each other.
func oddComponents() []string {
	odd := []string{
		"", ".", "..", "...", "a", "a-b", "a.b", "a!", "a0", "%", "%name=", "%name=a", "%file=a", "%part=a", "%file=",
		"\x00", "\xff", "\xe2", "\xe2\x82", "\u20ac", "\xe2A", "e\u0301", "\u00e9", "\n", " ", "~", "\uFFFD", "-", "!",
	}
	for _, n := range []int{244, 248, 249, 250, 254, 255, 256, 300, 498, 504, 505} {
		x := strings.Repeat("x", n)
		odd = append(odd, x, x+"\xe2A", x+"\xe2\x82\xac", x+"\xe2\xff", x+"-", x[1:]+"y")
	}
	return append(odd, strings.Repeat("\xff", 83), strings.Repeat("\xff", 84), strings.Repeat("\x00", 170), strings.Repeat("%", 260))
}

// pathsOf reads the whole tree, looking up each name, and returns the path of each key. Directories are in it by their
// prefix. It asserts that names are valid and come once, and that lookup and listing agree.
func pathsOf(t *testing.T, tree *Tree) map[string]string {
	t.Helper()
	paths := make(map[string]string)
	var visit func(dir, path string)
	visit = func(dir, path string) {
		seen := make(map[string]bool)
		for _, item := range all(t, tree.ReadDir(t.Context(), dir)) {
			name := item.Name
			if seen[name] {
				t.Fatalf("%q lists %q twice", dir, name)
			}
			seen[name] = true
			if len(name) > maxName || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name) {
				t.Fatalf("%q lists the name %q", dir, name)
			}
			tree.Forget(dir, name)
			found, err := tree.Lookup(t.Context(), dir, name)
			if err != nil || found.Dir != item.Dir || found.Key != item.Key || found.Entry.ETag != item.Entry.ETag {
				t.Fatalf("%q in %q: listed %+v, looked up %+v (%v)", name, dir, item, found, err)
			}
			if a, ok := found.address(); !ok || a != (address{dir, name}) {
				t.Fatalf("%+v has the address %+v, want %q in %q", found, a, name, dir)
			}
			id := item.Key
			if item.Dir {
				id = "dir " + id
			}
			if other, twice := paths[id]; twice {
				t.Fatalf("%q is shown as %q and as %q", id, other, path+"/"+name)
			}
			paths[id] = path + "/" + name
			if item.Dir {
				visit(item.Key, path+"/"+name)
			}
		}
	}
	visit("", "")
	return paths
}

// checkReachable asserts that each key has exactly one path and that nothing else has one.
func checkReachable(t *testing.T, f *fake) {
	t.Helper()
	tree, _ := newTree(t, f)
	paths := pathsOf(t, tree)
	files := 0
	for id := range paths {
		if !strings.HasPrefix(id, "dir ") {
			files++
		}
	}
	for key, entry := range f.objects {
		if strings.HasSuffix(key, "/") && entry.Size == 0 {
			if _, ok := paths["dir "+key]; !ok {
				t.Errorf("no directory for marker %q", key)
			}
			continue
		}
		files--
		if _, ok := paths[key]; !ok {
			t.Errorf("no path to %q", key)
		}
	}
	if files != 0 {
		t.Errorf("%d paths more than keys: %q", files, paths)
	}
}

func TestEveryKeyHasOnePath(t *testing.T) {
	odd := oddComponents()
	r := rand.New(rand.NewPCG(1, 2))
	for range 80 {
		f := newFake()
		f.page = 1 + r.IntN(6)
		for range 1 + r.IntN(40) {
			var components []string
			for range 1 + r.IntN(3) {
				components = append(components, odd[r.IntN(len(odd))])
			}
			if key := strings.Join(components, "/"); key != "" && len(key) < maxKey {
				f.put(key, []string{"etag", "full"}[r.IntN(2)])
			}
		}
		checkReachable(t, f)
	}
}

// Stores that list level by level have no file with the name of a directory, those that list in no order have no
// components too long for a name: see the package's limits.
func TestEveryKeyHasOnePathInOtherOrders(t *testing.T) {
	odd := oddComponents()
	for name, order := range map[string]func(x, y string) int{"level": byLevel, "none": byHash} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			for range 80 {
				f := newFake()
				f.order, f.page = order, 1+r.IntN(6)
				for range 1 + r.IntN(40) {
					dir, file := odd[r.IntN(len(odd))]+"d", odd[r.IntN(len(odd))]+"f"
					if name == "none" && len(encode(dir+file)) > maxName-signLen {
						continue
					}
					f.put(dir+"/"+file, "etag")
					f.put(file, "etag")
				}
				checkReachable(t, f)
			}
		})
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a\na/b\na-b\na.b", uint8(1))
	f.Add("a//\n//\n/\na/../.\n./b", uint8(2))
	f.Add("%name=a\n%file=a\na/a\na", uint8(3))
	x := strings.Repeat("x", 250)
	f.Add(x+"\n"+x+"/\n"+x+"yyyyyyyy\n"+x[1:]+"\xe2A\n"+x[1:]+"\xe2\x82\xacyyyyyy", uint8(1))
	f.Fuzz(func(t *testing.T, keys string, page uint8) {
		store := newFake()
		store.page = 1 + int(page%8)
		for i, key := range strings.Split(keys, "\n") {
			if key != "" && len(key) < maxKey && i < 12 && strings.Count(key, "/") < 8 {
				store.put(key, []string{"etag", "full"}[i%2])
			}
		}
		checkReachable(t, store)
	})
}

func TestExamplesOfPaths(t *testing.T) {
	x := strings.Repeat("x", 300)
	f := newFake("a/b", "100%/x", "a//b", "a/../b", "caf\xe9", "%name=x", "a", x, "m/")
	f.put("m/", "full")
	f.put("n/", "etag")
	tree, _ := newTree(t, f)
	want := map[string]string{
		"dir a/": "/a", "a/b": "/a/b", "a": "/%file=a", "dir a//": "/a/%name=", "a//b": "/a/%name=/b",
		"dir a/../": "/a/%name=..", "a/../b": "/a/%name=../b", "dir 100%/": "/100%", "100%/x": "/100%/x",
		"caf\xe9": "/%name=caf%E9", "%name=x": "/%name=%25name=x", "dir m/": "/m", "m/": "/m/%file=", "dir n/": "/n",
		"dir " + x[:249]: "/%part=" + x[:249], x: "/%part=" + x[:249] + "/" + x[249:],
	}
	got := pathsOf(t, tree)
	for id, path := range want {
		if got[id] != path {
			t.Errorf("%q is shown as %q, want %q", id, got[id], path)
		}
	}
	if len(got) != len(want) {
		t.Errorf("shown: %q", got)
	}
}

// The classifier holds back only a chain of prefixes, whatever the order, and what it makes does not depend on pages.
func TestClassifierHoldsAChain(t *testing.T) {
	odd := oddComponents()
	r := rand.New(rand.NewPCG(5, 6))
	for range 80 {
		var rows []string
		for range 60 {
			rows = append(rows, odd[r.IntN(len(odd))]+[]string{"", "/"}[r.IntN(2)])
		}
		slices.Sort(rows)
		var whole []record
		for _, size := range []int{len(rows), 1, 7} {
			c := classifier{}
			var records []record
			for chunk := range slices.Chunk(rows, size) {
				c.add(page(chunk), moment{})
				c.check(t)
				more, _ := c.take()
				records = append(records, more...)
			}
			c.finish()
			more, _ := c.take()
			records = append(records, more...)
			if whole == nil {
				whole = records
			}
			if !slices.Equal(whole, records) {
				t.Fatalf("pages of %d: %v, want %v", size, records, whole)
			}
		}
	}
}

func page(rows []string) (p objstore.Page) {
	for _, row := range rows {
		if strings.HasSuffix(row, "/") {
			p.Prefixes = append(p.Prefixes, row)
		} else {
			p.Entries = append(p.Entries, objstore.Entry{Key: row})
		}
	}
	return p
}

// ends tells whether a stream has ended, and fails the test on any other error.
func ends(t *testing.T, err error) bool {
	t.Helper()
	if err == io.EOF {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	return false
}

var _ Store = (*fake)(nil)

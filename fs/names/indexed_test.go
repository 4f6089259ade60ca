package names

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// indexedFake is a store whose listings come from an index.
type indexedFake struct {
	*fake
	ready bool
	has   map[string]bool
}

func (f *indexedFake) IndexReady() bool       { return f.ready }
func (f *indexedFake) Has(prefix string) bool { return f.has[prefix] }
func (f *indexedFake) MaxKey() int            { return objstore.MaxKey - 7 }

// What a name costs where listings come from an index: a file and a directory with a marker never ask it, unless it is
// young, or says that the file's name is a directory's as well.
func TestLookupIndexed(t *testing.T) {
	for _, c := range []struct {
		name  string
		ready bool
		found bool
		asked []string
	}{
		{"file", false, true, []string{"HEAD file"}},
		{"file", true, true, []string{"HEAD file"}},
		{"marked", false, true, []string{"HEAD marked", "HEAD marked/"}},
		{"marked", true, true, []string{"HEAD marked", "LIST marked/ (1)"}},
		{"implied", false, true, []string{"HEAD implied", "HEAD implied/", "LIST implied/ (1)"}},
		{"implied", true, true, []string{"HEAD implied", "LIST implied/ (1)"}},
		{"both", false, true, []string{"HEAD both", "LIST both/ (1)"}},
		{"none", false, false, []string{"HEAD none", "HEAD none/", "LIST none/ (1)"}},
	} {
		f := &indexedFake{fake: newFake("file", "marked/", "implied/x", "both", "both/x"), ready: c.ready, has: map[string]bool{"both/": true}}
		tree := New(f, Config{})
		item, err := tree.Lookup(t.Context(), "", c.name)
		if found := err == nil; found != c.found || !found && !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("%s, index ready: %v: %+v, %v", c.name, c.ready, item, err)
		}
		if item.Dir != (c.found && c.name != "file") {
			t.Errorf("%s, index ready: %v: is a directory: %v", c.name, c.ready, item.Dir)
		}
		if got := f.take(); !slices.Equal(got, c.asked) {
			t.Errorf("%s, index ready: %v: asked %q, should be %q", c.name, c.ready, got, c.asked)
		}
		tree.Close()
	}
}

// Asking for a directory again costs one HEAD while it has a marker, and no index.
func TestStatIndexed(t *testing.T) {
	f := &indexedFake{fake: newFake("marked/", "implied/x")}
	tree := New(f, Config{})
	t.Cleanup(tree.Close)
	for dir, asked := range map[string][]string{"marked": {"HEAD marked/"}, "implied": {"HEAD implied/", "LIST implied/ (1)"}} {
		if _, err := tree.Stat(t.Context(), Item{Name: dir, Dir: true, Key: dir + "/"}); err != nil {
			t.Error(err)
		}
		if got := f.take(); !slices.Equal(got, asked) {
			t.Errorf("%s: asked %q, should be %q", dir, got, asked)
		}
	}
}

// A store may take keys that are shorter than S3's.
func TestNewKeyShorter(t *testing.T) {
	tree := New(&indexedFake{fake: newFake()}, Config{})
	t.Cleanup(tree.Close)
	dir := strings.Repeat(strings.Repeat("x", 255)+"/", 3)
	for length, want := range map[int]error{1017: nil, 1018: ErrTooLong} {
		if _, err := tree.NewKey(dir, strings.Repeat("y", length-len(dir)), false); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", length, err)
		}
		if _, err := tree.NewKey(dir, strings.Repeat("y", length-len(dir)-1), true); !errors.Is(err, want) {
			t.Errorf("%d bytes of a directory: %v", length, err)
		}
	}
}

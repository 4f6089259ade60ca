package names

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// shelfInMemory keeps listings for several trees.
type shelfInMemory struct {
	now      func() time.Time
	stranger bool // what is there was asked for by others
	damage   int  // the block from which on all listings are damaged; 0 for none

	mu   sync.Mutex // guards what follows
	kept map[string]keptListing
}

type keptListing struct {
	asked  time.Time
	blocks []keptBlock
}

type keptBlock struct {
	first, last string
	data        []byte
}

func (s *shelfInMemory) Load(dir, name string, may func(time.Time, bool) bool, use func([]byte) bool) (bool, error) {
	s.mu.Lock()
	l, ok := s.kept[dir]
	damage := s.damage
	s.mu.Unlock()
	if !ok || !may(l.asked, s.stranger) {
		return false, nil
	}
	for i, b := range l.blocks {
		if damage > 0 && i >= damage {
			s.Doubt(dir)
			return true, errors.New("damaged")
		}
		if (name == "" || b.first <= name && name <= b.last) && !use(b.data) {
			break
		}
	}
	return true, nil
}

func (s *shelfInMemory) Save(dir string) (add func(first, last string, block []byte) bool, end func(whole bool)) {
	l := keptListing{asked: s.now()}
	add = func(first, last string, block []byte) bool {
		l.blocks = append(l.blocks, keptBlock{first, last, block})
		return true
	}
	return add, func(whole bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if whole {
			s.kept[dir] = l
		}
	}
}

func (s *shelfInMemory) Doubt(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, dir)
}

// has tells whether a directory is kept.
func (s *shelfInMemory) has(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.kept[dir]
	return ok
}

// shelved makes trees over one store, with one clock and one shelf.
func shelved(t *testing.T, f *fake, change ...func(*Config)) (restart func(change ...func(*Config)) *Tree, c *clock, s *shelfInMemory) {
	c = newClock()
	s = &shelfInMemory{now: c.Now, kept: make(map[string]keptListing)}
	return func(more ...func(*Config)) *Tree {
		tree, _ := newTree(t, f, append(append([]func(*Config){func(cfg *Config) {
			cfg.TTL, cfg.Now, cfg.Shelf = time.Minute, c.Now, s
		}}, change...), more...)...)
		return tree
	}, c, s
}

// What one tree has listed the next gives without asking: all of it, each name by itself, and that a name is not there;
// until it is too old.
func TestShelfServesTheNextTree(t *testing.T) {
	f := numbered(2500)
	f.put("d/sub/x", "etag")
	f.put("d/000007/x", "etag") // a file beside its directory
	f.put("d/odd%", "0123456789abcdef0123456789abcdef-12")
	restart, clock, shelf := shelved(t, f)
	want := all(t, restart().ReadDir(t.Context(), "d/"))
	all(t, restart().ReadDir(t.Context(), "d/none/"))
	f.take()

	asked := clock.Now()
	clock.advance(time.Minute - 1)
	tree := restart()
	if got := all(t, tree.ReadDir(t.Context(), "d/")); !reflect.DeepEqual(got, want) {
		t.Errorf("%d names, want %d, or they differ", len(got), len(want))
	}
	tree = restart()
	for _, item := range want {
		if got, err := tree.Lookup(t.Context(), "d/", item.Name); err != nil || !reflect.DeepEqual(got, item) || !got.Confirmed.Equal(asked) {
			t.Fatalf("%s: %+v, %v, want %+v", item.Name, got, err, item)
		}
	}
	if _, err := tree.Lookup(t.Context(), "d/", "none"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("a name that is not there: %v", err)
	}
	if got := all(t, tree.ReadDir(t.Context(), "d/none/")); len(got) > 0 {
		t.Errorf("an empty directory has %v", got)
	}
	f.expect(t)

	clock.advance(1)
	tree = restart()
	all(t, tree.ReadDir(t.Context(), "d/sub/"))
	if _, err := tree.Lookup(t.Context(), "d/", "sub"); err != nil {
		t.Error(err)
	}
	tree.tasks.Wait()
	f.expect(t, "LIST d/sub/", "HEAD d/sub", "LIST d/sub/ (1)")
	if !shelf.has("d/sub/") {
		t.Error("what was listed anew is not kept")
	}
}

// With Immutable names are good without end, and "not found" is asked again after the TTL.
func TestShelfOfWhatNeverChanges(t *testing.T) {
	f := newFake("d/a")
	restart, clock, _ := shelved(t, f, func(cfg *Config) { cfg.Immutable = true })
	all(t, restart().ReadDir(t.Context(), "d/"))
	f.take()
	clock.advance(1000 * time.Hour)
	tree := restart()
	if _, err := tree.Lookup(t.Context(), "d/", "a"); err != nil {
		t.Error(err)
	}
	if got := namesOf(all(t, tree.ReadDir(t.Context(), "d/"))); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}
	f.expect(t)
	if _, err := tree.Lookup(t.Context(), "d/", "b"); !errors.Is(err, objstore.ErrNotExist) {
		t.Error(err)
	}
	tree.tasks.Wait()
	f.expect(t, "HEAD d/b", "LIST d/b/ (1)")
}

// What was asked for with other credentials is given after the store was asked for one key of that directory, once, and
// not where it refuses that.
func TestShelfOfAStranger(t *testing.T) {
	f := numbered(2500)
	restart, _, shelf := shelved(t, f)
	all(t, restart().ReadDir(t.Context(), "d/"))
	f.take()
	shelf.stranger = true
	tree := restart()
	if got := all(t, tree.ReadDir(t.Context(), "d/")); len(got) != 2500 {
		t.Errorf("%d names", len(got))
	}
	f.expect(t, "LIST d/ (1)")
	tree = restart(func(cfg *Config) { cfg.MaxCached = 100 })
	for _, name := range []string{"000001", "001234", "000001"} {
		if _, err := tree.Lookup(t.Context(), "d/", name); err != nil {
			t.Error(err)
		}
	}
	f.expect(t, "LIST d/ (1)")

	refused := &objstore.Error{Op: "ListObjectsV2", Err: objstore.ErrPermission}
	f.setHook(func(context.Context, string) error { return refused })
	s := restart().ReadDir(t.Context(), "d/")
	defer s.Close()
	if item, err := s.Next(t.Context()); !errors.Is(err, objstore.ErrPermission) {
		t.Errorf("who may not list is given %v, %v", item.Name, err)
	}
}

// A listing that turns out to be damaged is gone on with from the store: no name is lost, or given twice.
func TestShelfDamaged(t *testing.T) {
	f := numbered(2500)
	restart, _, shelf := shelved(t, f)
	want := namesOf(all(t, restart().ReadDir(t.Context(), "d/")))
	for _, from := range []int{1, 2} {
		f.take()
		shelf.damage = from
		if got := namesOf(all(t, restart().ReadDir(t.Context(), "d/"))); !slices.Equal(got, want) {
			t.Errorf("damaged from block %d: %d names, want %d", from, len(got), len(want))
		}
		f.expect(t, "LIST d/", "LIST d/", "LIST d/")
	}
	shelf.damage = 0
	shelf.mu.Lock()
	for i := range shelf.kept["d/"].blocks {
		shelf.kept["d/"].blocks[i].data = []byte("something else")
	}
	shelf.mu.Unlock()
	if got := namesOf(all(t, restart().ReadDir(t.Context(), "d/"))); !slices.Equal(got, want) {
		t.Errorf("in another form: %d names, want %d", len(got), len(want))
	}
}

// What was seen to be otherwise is not found any more, neither by this tree nor by the next; and what this tree has
// asked for lately counts for more than what is kept.
func TestShelfAndChanges(t *testing.T) {
	f := newFake("d/a", "d/b", "d/c")
	restart, clock, shelf := shelved(t, f)
	all(t, restart().ReadDir(t.Context(), "d/"))
	clock.advance(time.Second)
	tree := restart()
	item, err := tree.Lookup(t.Context(), "d/", "a")
	if err != nil || !shelf.has("d/") {
		t.Fatal(err)
	}
	if _, err := tree.Stat(t.Context(), item); err != nil || !shelf.has("d/") {
		t.Errorf("as it was: %v, kept %v", err, shelf.has("d/"))
	}
	f.put("d/a", "another")
	if now, err := tree.Stat(t.Context(), item); err != nil || now.Entry.ETag != "another" || shelf.has("d/") {
		t.Errorf("another: %+v, %v, kept %v", now, err, shelf.has("d/"))
	}
	all(t, restart().ReadDir(t.Context(), "d/"))
	tree.Forget("d/", "b")
	if shelf.has("d/") {
		t.Error("what was forgotten is kept")
	}
	all(t, restart().ReadDir(t.Context(), "d/"))
	f.put("d/b", "mine")
	tree.Learn("d/", Item{Name: "b", Key: "d/b", Entry: objstore.Entry{Key: "d/b", ETag: "mine"}})
	if got, err := tree.Lookup(t.Context(), "d/", "b"); err != nil || got.Entry.ETag != "mine" {
		t.Errorf("what was written here is %+v, %v", got, err)
	}
	tree.Gone("d/", "c")
	if got, err := tree.Lookup(t.Context(), "d/", "c"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("what was removed here is %+v, %v", got, err)
	}
}

// What a tree has given up to stay within its limit of names it finds again on the shelf.
func TestShelfBeyondMemory(t *testing.T) {
	f := numbered(50)
	for i := range 50 {
		f.put(fmt.Sprintf("e/%02d", i), "etag")
	}
	restart, _, _ := shelved(t, f, func(cfg *Config) { cfg.MaxCached = 120 })
	tree := restart()
	want := all(t, tree.ReadDir(t.Context(), "d/"))
	for range 2 {
		all(t, tree.ReadDir(t.Context(), "e/"))
		if got := all(t, tree.ReadDir(t.Context(), "d/")); !reflect.DeepEqual(got, want) {
			t.Errorf("%v", namesOf(got))
		}
	}
	f.expect(t, "LIST d/", "LIST e/")
}

// Records come back from a block as they went in, and anything else is refused rather than taken for records.
func TestPack(t *testing.T) {
	dir := "d/"
	records := []record{
		{name: "a", key: "d/a", etag: strings.Repeat("0f", 16), size: 1 << 40, modTime: 1e9},
		{name: "ab", key: "d/ab/", dir: true},
		{name: "%file=ab", key: "d/ab", etag: strings.Repeat("0f", 16) + "-10000", class: "GLACIER", modTime: -5},
		{name: "%name=", key: "d//", dir: true},
		{name: "%file=", key: "d/", etag: "odd", size: 3},
		{name: "%part=long", key: "d/long", dir: true},
	}
	from := origin{process: 1 << 63, seq: 12}
	data := pack(dir, records, from)
	got, origin, ok := unpack(dir, data)
	if !ok || origin != from || !reflect.DeepEqual(got, records) {
		t.Fatalf("%+v, %v, %v", got, origin, ok)
	}
	for i := range data {
		if _, _, ok := unpack(dir, data[:i]); ok {
			t.Errorf("%d of %d bytes are taken for all", i, len(data))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 { // must not fail otherwise than by saying so
		wrong := slices.Clone(data)
		for range 1 + random.IntN(3) {
			wrong[random.IntN(len(wrong))] = byte(random.Uint32())
		}
		unpack(dir, wrong)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack("d/", []record{{name: "a", key: "d/a", etag: "x"}, {name: "b", key: "d/b/", dir: true}}, origin{1, 2}))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, from, ok := unpack("d/", data)
		if !ok {
			return
		}
		if again, origin, ok := unpack("d/", pack("d/", records, from)); !ok || origin != from || !slices.Equal(again, records) {
			t.Errorf("%+v became %+v", records, again)
		}
	})
}

package names

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// A mount that changes names in any order sees all of its own changes at once, held, stored, removed or renamed, by
// lookup, listing and emptiness; and what somebody else has changed when the TTL is over.
func TestOwnChangesModel(t *testing.T) {
	for seed := range uint64(30) {
		f := newFake("d/a", "d/e/a")
		f.page = 1 + int(seed%5)
		tree, clock := newTree(t, f)
		m := &ownModel{fake: f, tree: tree, clock: clock, random: rand.New(rand.NewPCG(seed, 3)), held: map[string]Item{}}
		for step := range 400 {
			m.change()
			if err := m.compare(t); err != nil {
				t.Fatalf("seed %d, step %d: %v; before it: %q", seed, step, err, m.did)
			}
			tree.check(t)
		}
	}
}

// ownModel is a mount as package fs has one, and what it should see: what the store has, and what is held.
type ownModel struct {
	*fake
	tree   *Tree
	clock  *clock
	random *rand.Rand
	held   map[string]Item // by key
	etags  int
	did    []string // the last steps
}

// modelDirs are the directories in which names change, those that are parts of others first.
var modelDirs = []string{"", "d/", "d/e/", "g/", "g/e/"}

func (m *ownModel) change() {
	dir := modelDirs[m.random.IntN(len(modelDirs))]
	name := []string{"a", "b", "a-b"}[m.random.IntN(3)]
	steps := []func(dir, name string){m.write, m.store, m.remove, m.makeDir, m.removeDir, m.rename, m.others}
	step := m.random.IntN(len(steps))
	m.did = append(m.did[max(0, len(m.did)-12):], fmt.Sprintf("%s %q", []string{"write", "store", "remove", "mkdir", "rmdir", "rename", "others"}[step], dir+name))
	steps[step](dir, name)
}

func (m *ownModel) etag() string {
	m.etags++
	return fmt.Sprint("etag-", m.etags)
}

// write begins to write a file: its directory must be there.
func (m *ownModel) write(dir, name string) {
	if !m.exists(dir) {
		return
	}
	item := fileItem(dir, name, "")
	if e, ok := m.objects[dir+name]; ok {
		item.Entry = e
	}
	m.held[item.Key] = item
	m.tree.Hold(dir, item)
}

// store stores what is written, which goes on or has ended.
func (m *ownModel) store(dir, name string) {
	if _, ok := m.held[dir+name]; !ok {
		return
	}
	item := fileItem(dir, name, m.etag())
	m.put(item.Key, item.Entry.ETag)
	m.tree.Learn(dir, item)
	if m.random.IntN(2) == 0 {
		m.tree.Release(dir, name)
		delete(m.held, item.Key)
		return
	}
	m.held[item.Key] = item
	m.tree.Hold(dir, item)
}

func (m *ownModel) remove(dir, name string) {
	_, written := m.held[dir+name]
	if _, stored := m.objects[dir+name]; !stored && !written {
		return
	}
	m.fake.remove(dir + name)
	m.tree.Gone(dir, name)
	m.tree.Release(dir, name)
	delete(m.held, dir+name)
	m.keep(dir)
}

// keep puts a marker where a directory would vanish with its last name.
func (m *ownModel) keep(dir string) {
	if dir != "" && !m.exists(dir) {
		m.put(dir, "marker")
		m.tree.Forget(splitDir(dir))
	}
}

func (m *ownModel) makeDir(dir, _ string) {
	name := []string{"d", "e", "g"}[m.random.IntN(3)]
	if key := dir + name + "/"; slices.Contains(modelDirs, key) && m.exists(dir) && !m.exists(key) {
		m.put(key, "marker")
		m.tree.Learn(dir, Item{Name: name, Dir: true, Key: key})
	}
}

func (m *ownModel) removeDir(dir, _ string) {
	if dir == "" || !m.exists(dir) || len(m.in(dir)) > 0 {
		return
	}
	m.fake.remove(dir)
	parent, name := splitDir(dir)
	m.tree.Gone(parent, name)
	m.keep(parent)
}

// rename gives the directory d/ the name g/, or the other way round.
func (m *ownModel) rename(string, string) {
	from, to := "d/", "g/"
	if m.random.IntN(2) == 0 {
		from, to = to, from
	}
	if !m.exists(from) || m.exists(to) {
		return
	}
	for key := range m.objects {
		if rest, ok := strings.CutPrefix(key, from); ok {
			m.put(to+rest, m.objects[key].ETag)
			m.fake.remove(key)
		}
	}
	for key, item := range m.held {
		if rest, ok := strings.CutPrefix(key, from); ok {
			delete(m.held, key)
			item.Key, item.Entry.Key = to+rest, to+rest
			m.held[item.Key] = item
		}
	}
	m.tree.Rehome(from, to)
	m.tree.Gone("", strings.TrimSuffix(from, "/"))
}

// others change a file, and the TTL goes by.
func (m *ownModel) others(dir, name string) {
	if _, stored := m.objects[dir+name]; stored && m.random.IntN(2) == 0 {
		m.fake.remove(dir + name)
	} else {
		m.put(dir+name, m.etag())
	}
	m.clock.advance(time.Second)
}

// exists tells whether a directory does: it has a marker, a key or something held.
func (m *ownModel) exists(dir string) bool {
	if _, ok := m.objects[dir]; ok || dir == "" {
		return true
	}
	return len(m.in(dir)) > 0
}

// in is what should be seen in a directory: by name the ETag of a file, and "/" for a directory.
func (m *ownModel) in(dir string) map[string]string {
	seen := make(map[string]string)
	see := func(key, etag string) {
		rest, ok := strings.CutPrefix(key, dir)
		if !ok || rest == "" {
			return
		}
		if name, _, deeper := strings.Cut(rest, "/"); deeper {
			seen[name] = "/"
		} else {
			seen[name] = etag
		}
	}
	for key, e := range m.objects {
		see(key, e.ETag)
	}
	for key, item := range m.held {
		see(key, item.Entry.ETag)
	}
	return seen
}

func splitDir(dir string) (parent, name string) {
	dir = strings.TrimSuffix(dir, "/")
	at := strings.LastIndexByte(dir, '/') + 1
	return dir[:at], dir[at:]
}

// compare looks at one directory.
func (m *ownModel) compare(t *testing.T) error {
	dir := modelDirs[m.random.IntN(len(modelDirs))]
	want := m.in(dir)
	for _, name := range []string{"a", "b", "a-b", "d", "e", "g"} {
		item, err := m.tree.Lookup(t.Context(), dir, name)
		if err != nil && !errors.Is(err, objstore.ErrNotExist) {
			return err
		}
		if got, found := shown(item), err == nil; found && got != want[name] || found != hasName(want, name) {
			return fmt.Errorf("%q in %q is %q, %v; should be %q", name, dir, got, err, want[name])
		}
	}
	if m.random.IntN(3) > 0 {
		return nil
	}
	got := make(map[string]string)
	for _, item := range all(t, m.tree.ReadDir(t.Context(), dir)) {
		if hasName(got, item.Name) {
			return fmt.Errorf("%q lists %q twice", dir, item.Name)
		}
		got[item.Name] = shown(item)
	}
	for name := range want {
		if got[name] != want[name] {
			return fmt.Errorf("%q lists %q, should list %q", dir, got, want)
		}
	}
	empty, err := m.tree.Empty(t.Context(), dir)
	if err == nil && (len(got) != len(want) || empty != (len(want) == 0)) {
		err = fmt.Errorf("%q lists %q, should list %q; empty: %v", dir, got, want, empty)
	}
	return err
}

// shown is what an item is in the model.
func shown(item Item) string {
	if item.Dir {
		return "/"
	}
	return item.Entry.ETag
}

func hasName(in map[string]string, name string) bool {
	_, ok := in[name]
	return ok
}

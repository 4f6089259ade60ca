package names

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// ErrTooLong is a name whose key would be longer than the store takes.
var ErrTooLong = errors.New("the key would be too long")

// own is what this mount itself has made of names, and the store may not say yet. It is guarded by Tree.mu.
//
// INVARIANT: below[p] is how many held names there are in the directory with prefix p or anywhere below it.
type own struct {
	held  map[string]map[string]Item // by directory and name
	below map[string]int
}

func newOwn() own { return own{held: make(map[string]map[string]Item), below: make(map[string]int)} }

// hold makes a name mean item.
func (o *own) hold(dir string, item Item) {
	in := o.held[dir]
	if in == nil {
		in = make(map[string]Item)
		o.held[dir] = in
	}
	if _, has := in[item.Name]; !has {
		o.count(dir, 1)
	}
	in[item.Name] = item
}

// release ends that.
func (o *own) release(a address) (item Item, had bool) {
	in := o.held[a.dir]
	if item, had = in[a.name]; !had {
		return item, false
	}
	o.count(a.dir, -1)
	if delete(in, a.name); len(in) == 0 {
		delete(o.held, a.dir)
	}
	return item, true
}

// count changes how many names are held in a directory and in those above it.
func (o *own) count(dir string, by int) {
	for {
		if o.below[dir] += by; o.below[dir] == 0 {
			delete(o.below, dir)
		}
		if dir == "" {
			return
		}
		dir = dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1]
	}
}

// lookup gives what is held of a name, also when it is a directory because of what is held below it.
func (o *own) lookup(a address, target target) (Item, bool) {
	if item, ok := o.held[a.dir][a.name]; ok {
		return item, true
	}
	if target.form == either && o.below[target.key+"/"] > 0 {
		return Item{Name: a.name, Dir: true, Key: target.key + "/"}, true
	}
	return Item{}, false
}

// in are the held names of a directory, and its directories that there are because of what is held below them.
func (o *own) in(dir string) []Item {
	var items []Item
	for _, item := range o.held[dir] {
		items = append(items, item)
	}
	if o.below[dir] > len(items) {
		for prefix := range o.below {
			if a, ok := directoryAt(prefix); ok && a.dir == dir {
				items = append(items, Item{Name: a.name, Dir: true, Key: prefix})
			}
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return items
}

// directoryAt is where the directory with a prefix is shown; false for the root, and for one that holds the rest of
// long components.
func directoryAt(prefix string) (address, bool) {
	raw, whole := strings.CutSuffix(prefix, "/")
	if !whole {
		return address{}, false
	}
	dir := raw[:strings.LastIndexByte(raw, '/')+1]
	component := raw[len(dir):]
	name, piece, ok := place(dir, component, false)
	return address{dir, name}, ok && piece == len(component)
}

// Hold makes a name mean item whatever the store says, until Release: a file that is being written, and is not in the
// store yet, or not like this. To hold it again replaces the item.
func (t *Tree) Hold(dir string, item Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own.hold(dir, item)
}

// Release ends what Hold began. What the store said meanwhile counts again.
func (t *Tree) Release(dir, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own.release(address{dir, name})
	t.reveal(dir)
}

// reveal has a directory, and those above it, be asked for again that was there only for what was held in it, if the
// store was heard to have none: what was held may be stored now. The caller holds mu.
func (t *Tree) reveal(dir string) {
	for t.own.below[dir] == 0 {
		a, ok := directoryAt(dir)
		if !ok {
			return
		}
		if ans, known := t.memory.lookup(a); known && !ans.found {
			t.memory.forget(a)
		}
		dir = a.dir
	}
}

// Learn notes what this mount has just stored: the name means item as of now, and what the store was asked before is
// not believed of it. A directory must be new: until the TTL is over it is known to be empty but for what is made in it
// here.
func (t *Tree) Learn(dir string, item Item) {
	a := address{dir, item.Name}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.forget(a)
	now := t.memory.stamp()
	item.Confirmed = now.at
	t.memory.remember(a, answer{item: item, found: true, asked: now})
	if item.Dir {
		t.memory.keep(emptyListing(item.Key, now))
	}
}

// emptyListing is the listing of a directory that was just made.
func emptyListing(dir string, began moment) *listing {
	l := newListing(dir, began)
	l.done, l.cancel = true, func() {}
	return l
}

// Gone notes that this mount has just removed a name.
func (t *Tree) Gone(dir, name string) {
	a := address{dir, name}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.forget(a)
	t.memory.remember(a, answer{asked: t.memory.stamp()})
}

// Distrust notes that names may mean something else than was heard of them: the next Lookup or ReadDir of each asks the
// store.
func (t *Tree) Distrust() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.distrust = t.memory.stamp().seq
}

// Rehome notes that the directory with prefix from has been given the prefix to, with all that is below it: what was
// heard of names before is not believed any more, and what is held below it is held there.
func (t *Tree) Rehome(from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.distrust = t.memory.stamp().seq
	for dir, in := range t.own.held {
		rest, ok := strings.CutPrefix(dir, from)
		if !ok {
			continue
		}
		for name := range in {
			item, _ := t.own.release(address{dir, name})
			item.Key = to + strings.TrimPrefix(item.Key, from)
			item.Entry.Key = item.Key
			t.own.hold(to+rest, item)
		}
	}
}

// NewKey is the key that a new file or directory of that name is to have in the directory with prefix dir. ErrTooLong
// when a store would not take it; objstore.ErrInvalid for a name that stands for something else than itself, and so
// cannot be made.
func (t *Tree) NewKey(dir, name string, isDir bool) (string, error) {
	raw := name
	if strings.HasPrefix(name, signName) {
		raw, _ = decode(name[signLen:])
	}
	key := dir + raw
	if isDir {
		key += "/"
	}
	if len(key) > t.longest {
		return "", fmt.Errorf("%w: %d bytes, and at most %d can be", ErrTooLong, len(key), t.longest)
	}
	if target, ok := resolve(dir, name); !ok || target.form != either {
		return "", fmt.Errorf("%w: a name that begins like %q stands for another one", objstore.ErrInvalid, signOf(name))
	}
	return key, nil
}

// signOf is the sign that a name begins with.
func signOf(name string) string { return name[:min(len(name), signLen)] }

// Empty asks the store whether a directory holds nothing but its own marker. What is being written in it counts.
func (t *Tree) Empty(ctx context.Context, dir string) (bool, error) {
	empty, _, err := t.Marked(ctx, dir)
	return empty, err
}

// Marked is Empty, and tells whether the store was seen to have the marker: it is not looked for where something is
// being written in the directory.
func (t *Tree) Marked(ctx context.Context, dir string) (empty, marked bool, err error) {
	t.mu.Lock()
	held := t.own.below[dir] > 0
	t.mu.Unlock()
	if held {
		return false, false, nil
	}
	for page, err := range t.store.List(metadata(ctx), objstore.ListOptions{Prefix: dir, PageSize: 2}) {
		if err != nil {
			return false, false, err
		}
		for _, e := range page.Entries {
			if e.Key != dir || e.Size > 0 {
				return false, marked, nil
			}
			marked = true
		}
	}
	return true, marked, nil
}

package names

import (
	"context"
	"errors"

	"github.com/headrace/headrace/objstore"
)

// metadata gives a request its class. Each request has a ticket of its own, since two of them run at once.
func metadata(ctx context.Context) context.Context {
	return objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassMetadata))
}

// ask finds out from the store what a name stands for.
func (t *Tree) ask(ctx context.Context, a address, target target) (item Item, found bool, err error) {
	item = Item{Name: a.name, Key: target.key}
	if target.form == part {
		item.Dir = true
		err = t.askDirectory(ctx, item)
		return item, err == nil, absent(err)
	}
	if target.form == beside && target.key == a.dir {
		item.Entry, err = t.entry(ctx, target.key)
		return item, err == nil && item.Entry.Size > 0, absent(err)
	}
	entry, below := t.probe(ctx, target)
	switch found, err := decide(target.form, entry.err, below); {
	case err != nil:
		return Item{}, false, err
	case found == directory:
		item.Dir, item.Key = true, target.key+"/"
		return item, true, nil
	case found == file:
		item.Entry = entry.entry
		return item, true, nil
	}
	return item, false, nil
}

// absent is err, unless it says that there is no such object.
func absent(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// missing tells whether err says that the object does not exist. A missing bucket is not that: it says nothing of names
// and must not be remembered.
func missing(err error) bool {
	return errors.Is(err, objstore.ErrNotExist) && !errors.Is(err, objstore.ErrNoBucket)
}

// forbidden tells whether err says that this one request is not allowed, rather than that who asks is not known.
func forbidden(err error) bool {
	return errors.Is(err, objstore.ErrPermission) &&
		!errors.Is(err, objstore.ErrCredentials) && !errors.Is(err, objstore.ErrClockSkew)
}

type entryResult struct {
	entry objstore.Entry
	err   error
}

// probe asks for the object and for what lies below it, at once. A directory needs no second answer: the object then is
// not waited for, unless it is the one asked for.
func (t *Tree) probe(ctx context.Context, target target) (object entryResult, below error) {
	if len(target.key)+1 > t.longest {
		object.entry, object.err = t.entry(ctx, target.key)
		return object, objstore.ErrNotExist
	}
	if indexed, ok := t.store.(objstore.Indexed); ok && target.form == either {
		return t.probeIndexed(ctx, indexed, target.key)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan entryResult, 1)
	ask := func() {
		entry, err := t.entry(ctx, target.key)
		answered <- entryResult{entry, err}
	}
	t.mu.Lock()
	started := t.start(ask)
	t.mu.Unlock()
	if !started {
		return entryResult{err: context.Canceled}, context.Canceled
	}
	below = t.below(ctx, target.key+"/")
	if below == nil && target.form == either {
		return entryResult{err: objstore.ErrNotExist}, nil
	}
	return <-answered, below
}

// probeIndexed is probe where what lies below a key is known to an index only, which may have to be made first, or
// again: a file costs one HEAD, and so does a directory with a marker. An index that is there is asked for nothing, and
// one that is too old can still tell that a file is no directory.
func (t *Tree) probeIndexed(ctx context.Context, indexed objstore.Indexed, key string) (object entryResult, below error) {
	object.entry, object.err = t.entry(ctx, key)
	switch {
	case object.err != nil && !missing(object.err):
		return object, objstore.ErrNotExist
	case object.err == nil && !indexed.Has(key+"/"):
		return object, objstore.ErrNotExist
	case object.err != nil && t.marked(ctx, key+"/"):
		return object, nil
	}
	return object, t.below(ctx, key+"/")
}

// marked tells whether a directory has a marker, where that is cheaper than to ask whether anything lies below it:
// where there is no index that is young enough.
func (t *Tree) marked(ctx context.Context, prefix string) bool {
	indexed, ok := t.store.(objstore.Indexed)
	if !ok || indexed.IndexReady() || prefix == "" {
		return false
	}
	_, err := t.entry(ctx, prefix)
	return err == nil
}

// kind is what a name turns out to be.
type kind int

const (
	nothing kind = iota
	file
	directory
)

// decide puts the two answers together: object is the error of asking for the object, below that of asking for a key
// below it. Where listing is forbidden but the object can be had, it is taken as a file: nobody can tell that it is a
// directory. Where both are forbidden the name is neither there nor absent.
func decide(form form, object, below error) (kind, error) {
	isDir, noDir := below == nil, missing(below)
	isFile, noFile := object == nil, missing(object)
	if form == beside {
		switch {
		case noDir, noFile:
			return nothing, nil
		case !isDir:
			return nothing, below
		case !isFile:
			return nothing, object
		}
		return file, nil
	}
	switch {
	case isDir:
		return directory, nil
	case noDir && noFile:
		return nothing, nil
	case isFile && (noDir || forbidden(below)):
		return file, nil
	case noDir, !isFile && !noFile && forbidden(below):
		return nothing, object
	}
	return nothing, below
}

// entry asks for one object. A store that answers HEAD with "forbidden" may mean that the object does not exist (where
// the user must not list) or that the user must not read it (where listing is allowed): a listing of that one key
// tells.
func (t *Tree) entry(ctx context.Context, key string) (objstore.Entry, error) {
	entry, err := t.store.Stat(metadata(ctx), key)
	if err == nil || !forbidden(err) {
		return entry, err
	}
	opts := objstore.ListOptions{Prefix: key, Delimiter: "/", PageSize: 1}
	for page, listErr := range t.store.List(metadata(ctx), opts) {
		if listErr != nil {
			return objstore.Entry{}, err
		}
		// The key itself is the first of all that begin with it, in every order.
		if len(page.Entries) > 0 && page.Entries[0].Key == key {
			return page.Entries[0], nil
		}
		if len(page.Entries)+len(page.Prefixes) > 0 {
			break
		}
	}
	return objstore.Entry{}, objstore.ErrNotExist
}

// below asks whether any key begins with prefix: objstore.ErrNotExist when none does.
func (t *Tree) below(ctx context.Context, prefix string) error {
	for page, err := range t.store.List(metadata(ctx), objstore.ListOptions{Prefix: prefix, PageSize: 1}) {
		if err != nil {
			return err
		}
		if len(page.Entries)+len(page.Prefixes) > 0 {
			return nil
		}
	}
	return objstore.ErrNotExist
}

// askDirectory asks whether a directory exists: objstore.ErrNotExist when it does not. A %part= directory exists when
// it shows something: the keys below its prefix may all be shown elsewhere.
func (t *Tree) askDirectory(ctx context.Context, item Item) error {
	if partOf(item.Key) == "" {
		if t.marked(ctx, item.Key) {
			return nil
		}
		return t.below(ctx, item.Key)
	}
	c := classifier{dir: item.Key}
	for page, err := range t.store.List(metadata(ctx), objstore.ListOptions{Prefix: item.Key, Delimiter: "/"}) {
		if err != nil {
			return err
		}
		if c.add(page, moment{}); len(c.records) > 0 {
			return nil
		}
	}
	if c.finish(); len(c.records) > 0 {
		return nil
	}
	return objstore.ErrNotExist
}

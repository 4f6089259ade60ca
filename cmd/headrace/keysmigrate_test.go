package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/memstore"
)

// hiding has none of the optional powers of the store below it.
type hiding struct{ objstore.Bucket }

// removing has one of them.
type removing struct {
	hiding
	objstore.VersionDeleter
}

func putContent(t *testing.T, b objstore.Bucket, key, content string) object {
	t.Helper()
	e, err := b.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	return object{b, e}
}

// contentOf is what a key has; "" for nothing.
func contentOf(t *testing.T, b objstore.Bucket, key string) string {
	t.Helper()
	e, err := b.Stat(t.Context(), key)
	if errors.Is(err, objstore.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := b.Open(t.Context(), objstore.VersionOf(b, e), objstore.Range{Len: e.Size})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Moving an object never replaces another, and never removes what it has not seen under its new key.
func TestMoveObject(t *testing.T) {
	to := hashed.Encode("key")
	var store *memstore.Store
	replace := func(key, content string) func(context.Context) error {
		return func(context.Context) error {
			putContent(t, store, key, content)
			return nil
		}
	}
	remove := func(key string) func(context.Context) error {
		return func(ctx context.Context) error { return store.Delete(ctx, key) }
	}
	for name, c := range map[string]struct {
		there     string // under the new key
		knows     bool   // the store looks at conditions of removals
		fault     *faultstore.Fault
		err       error
		key, atTo string // what is there afterwards
	}{
		"alone":                     {atTo: "content"},
		"copied before":             {there: "content", atTo: "content"},
		"somebody else's":           {there: "other..", err: objstore.ErrExists, key: "content", atTo: "other.."},
		"made meanwhile":            {fault: &faultstore.Fault{Op: objstore.OpCopy, Before: replace(to, "other")}, err: objstore.ErrExists, key: "content", atTo: "other"},
		"replaced before the copy":  {fault: &faultstore.Fault{Op: objstore.OpCopy, Before: replace("key", "new")}, err: objstore.ErrChanged, key: "new"},
		"replaced after the copy":   {fault: &faultstore.Fault{Op: objstore.OpStat, Key: "key", Before: replace("key", "new")}, err: objstore.ErrChanged, key: "new", atTo: "content"},
		"removed after the copy":    {fault: &faultstore.Fault{Op: objstore.OpStat, Key: "key", Before: remove("key")}, atTo: "content"},
		"killed before the copy":    {fault: &faultstore.Fault{Op: objstore.OpCopy, Err: objstore.ErrTimeout}, err: objstore.ErrTimeout, key: "content"},
		"killed before the removal": {fault: &faultstore.Fault{Op: objstore.OpDelete, Err: objstore.ErrTimeout}, err: objstore.ErrTimeout, key: "content", atTo: "content"},
		"replaced in the end":       {knows: true, fault: &faultstore.Fault{Op: objstore.OpDelete, Before: replace("key", "new")}, err: objstore.ErrChanged, key: "new", atTo: "content"},
		"removed in the end":        {knows: true, fault: &faultstore.Fault{Op: objstore.OpDelete, Before: remove("key")}, atTo: "content"},
		"a condition is refused":    {knows: true, fault: &faultstore.Fault{Op: objstore.OpDelete, Times: 1, Err: objstore.ErrUnsupported}, atTo: "content"},
	} {
		store = memstore.New("bucket")
		o := putContent(t, store, "key", "content")
		if c.there != "" {
			putContent(t, store, to, c.there)
		}
		faulty := faultstore.New(store)
		if c.fault != nil {
			faulty.Add(*c.fault)
		}
		o.bucket = hiding{faulty}
		if c.knows {
			o.bucket = removing{hiding{faulty}, faulty}
		}
		mover := newObjectMover(nil, io.Discard)
		if err := mover.move(t.Context(), o, to); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, should be %v", name, err, c.err)
		}
		if key, atTo := contentOf(t, store, "key"), contentOf(t, store, to); key != c.key || atTo != c.atTo {
			t.Errorf("%s: %q and %q are there, should be %q and %q", name, key, atTo, c.key, c.atTo)
		}
	}
}

// A copy that is not there after all, whatever the store has answered, has the original stay.
func TestMoveObjectLostCopy(t *testing.T) {
	store := memstore.New("bucket")
	o := putContent(t, store, "key", "content")
	to := hashed.Encode("key")
	o.bucket = hiding{losing{store}}
	mover := newObjectMover(nil, io.Discard)
	if err := mover.move(t.Context(), o, to); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("a copy that is not there: %v", err)
	}
	if got := contentOf(t, store, "key"); got != "content" {
		t.Errorf("the original is %q", got)
	}
}

// losing says that it has copied, and has not.
type losing struct{ objstore.Bucket }

func (l losing) Copy(_ context.Context, key string, src objstore.Version, _ objstore.Condition) (objstore.Entry, error) {
	return objstore.Entry{Key: key, ETag: src.ETag, Size: src.Size}, nil
}

// A store that knows no condition of removals, whatever it says to one, is asked once, which is said once, and then
// moves all the same, in the way that is weaker.
func TestMoveWithoutConditions(t *testing.T) {
	for _, answer := range []error{objstore.ErrUnsupported, objstore.ErrInvalid, objstore.ErrChanged} {
		store := memstore.New("bucket")
		refusing := faultstore.New(store)
		var asked int
		refusing.Add(faultstore.Fault{Op: objstore.OpDelete, Err: answer, Before: func(context.Context) error {
			asked++
			return nil
		}})
		var said strings.Builder
		mover := newObjectMover(nil, &said)
		for _, key := range []string{"a", "b", "c"} {
			o := putContent(t, store, key, "content "+key)
			o.bucket = removing{hiding{store}, refusing}
			if err := mover.move(t.Context(), o, hashed.Encode(key)); err != nil {
				t.Errorf("%v: %v", answer, err)
			}
			if plain, moved := contentOf(t, store, key), contentOf(t, store, hashed.Encode(key)); plain != "" || moved != "content "+key {
				t.Errorf("%v: %q and %q are there", answer, plain, moved)
			}
		}
		if asked != 1 || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "under a condition") {
			t.Errorf("%v: asked %d times, and said %q", answer, asked, said.String())
		}
	}
}

// An object that is replaced while it is put into parts stays what it was replaced with, and no upload is left.
func TestRestripeReplaced(t *testing.T) {
	for _, op := range []objstore.Op{objstore.OpStat, objstore.OpCreateUpload, objstore.OpCopyPart, objstore.OpCompleteUpload} {
		store := memstore.New("bucket")
		o := putContent(t, store, "key", "content")
		faulty := faultstore.New(store)
		faulty.Add(faultstore.Fault{Op: op, Before: func(context.Context) error {
			putContent(t, store, "key", "new")
			return nil
		}})
		o.bucket = faulty
		if err := restripe(t.Context(), o, objstore.CopyPlan{}); !errors.Is(err, objstore.ErrChanged) {
			t.Errorf("replaced before %v: %v", op, err)
		}
		if got := contentOf(t, store, "key"); got != "new" {
			t.Errorf("replaced before %v: %q is there", op, got)
		}
		for u, err := range store.ListUploads(t.Context(), "") {
			t.Errorf("replaced before %v: left: %+v (%v)", op, u, err)
		}
	}
}

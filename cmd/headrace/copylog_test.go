package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/upload/journal"
)

// uploadsOf are the ids of a store's uploads.
func uploadsOf(t *testing.T, b objstore.Bucket) (ids []string) {
	t.Helper()
	for u, err := range b.ListUploads(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	return ids
}

// left are the files of a log's directory.
func left(t *testing.T, l *copyLog) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(l.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What a copy that was killed has left is given up by the next run, and nothing else: no upload of somebody else's, of
// the same key either, and none of a run that lives.
func TestCopyLog(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	store := memstore.New("bucket")
	o := putContent(t, store, "key\xff", "content")
	others, err := store.CreateUpload(t.Context(), o.Key, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]objstore.Bucket{"plain": store, "hashed": hashed.New(store, hashed.Options{})} {
		killed := newCopyLog(time.Now, io.Discard)
		ctx, cancel := context.WithCancel(t.Context())
		faulty := faultstore.New(store)
		faulty.Add(
			faultstore.Fault{Op: objstore.OpCopyPart, Before: func(ctx context.Context) error { return errors.New("killed") }},
			faultstore.Fault{Op: objstore.OpAbortUpload, Err: errors.New("killed")},
		)
		if h, ok := b.(*hashed.Bucket); ok {
			defer h.Close()
			b = hashed.New(faulty, hashed.Options{})
			defer b.(*hashed.Bucket).Close()
			if _, err := store.Copy(t.Context(), hashed.Encode(o.Key), o.version(), objstore.Condition{}); err != nil {
				t.Fatal(err)
			}
		} else {
			b = faulty
		}
		e, err := b.Stat(ctx, o.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := restripe(ctx, object{b, e}, objstore.CopyPlan{Log: killed}); err == nil {
			t.Fatalf("%s: it was not killed", name)
		}
		cancel()
		mine := slices.DeleteFunc(uploadsOf(t, store), func(id string) bool { return id == others })
		if len(mine) != 1 || len(left(t, killed)) != 1 {
			t.Fatalf("%s: left %q and %q", name, mine, left(t, killed))
		}
		next := newCopyLog(time.Now, io.Discard)
		buckets := []objstore.Bucket{memstore.New("another"), b}
		doubt := func(u leftUpload) { t.Errorf("%s: in doubt: %+v", name, u) }
		if n, err := next.giveUpLeft(t.Context(), buckets, doubt); n != 0 || err != nil {
			t.Errorf("%s: of a process that lives: %d, %v", name, n, err)
		}
		if err := killed.file.Close(); err != nil { // as its end does
			t.Fatal(err)
		}
		if n, err := next.giveUpLeft(t.Context(), buckets[:1], doubt); n != 0 || err != nil {
			t.Errorf("%s: in another bucket: %d, %v", name, n, err)
		}
		if n, err := next.giveUpLeft(t.Context(), []objstore.Bucket{store}, doubt); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if got := uploadsOf(t, store); !slices.Equal(got, []string{others}) || len(left(t, next)) != 0 {
			t.Errorf("%s: left %q, %q", name, got, left(t, next))
		}
	}
}

// An upload whose id nobody has heard of is told of, once, and left alone; what is damaged is passed over; and a run
// that has come to its end leaves nothing.
func TestCopyLogInDoubt(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	store := memstore.New("bucket")
	o := putContent(t, store, "key", "content")
	fine := newCopyLog(time.Now, io.Discard)
	if err := restripe(t.Context(), o, objstore.CopyPlan{Log: fine}); err != nil {
		t.Fatal(err)
	}
	if err := fine.close(); err != nil || len(left(t, fine)) != 0 {
		t.Errorf("%q, %v", left(t, fine), err)
	}
	killed := newCopyLog(time.Now, io.Discard)
	if _, err := killed.Intend(store, "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.file.WriteString("torn"); err != nil {
		t.Fatal(err)
	}
	if err := killed.file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateUpload(t.Context(), "key", objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	var doubts []string
	for range 2 {
		if n, err := newCopyLog(time.Now, io.Discard).giveUpLeft(t.Context(), []objstore.Bucket{store}, func(u leftUpload) { doubts = append(doubts, u.Key) }); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if !slices.Equal(doubts, []string{"key"}) || len(uploadsOf(t, store)) != 1 || len(left(t, killed)) != 0 {
		t.Errorf("in doubt: %q; left %q", doubts, left(t, killed))
	}
	if err := os.WriteFile(filepath.Join(killed.dir, "x.log"), []byte(strings.Repeat("?", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := newCopyLog(time.Now, io.Discard).giveUpLeft(t.Context(), nil, nil); n != 0 || err != nil || len(left(t, killed)) != 0 {
		t.Errorf("a file of something else: %d, %v, %q", n, err, left(t, killed))
	}
}

// What a full disk has left of a line spoils no other one, and what was never begun is not in doubt.
func TestCopyLogOnFullDisk(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	store := memstore.New("bucket")
	var said strings.Builder
	l := newCopyLog(time.Now, &said)
	first, err := l.Intend(store, "first")
	if err != nil {
		t.Fatal(err)
	}
	l.Ended(first)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := l.file
	l.file = full
	if number, err := l.Intend(store, "second"); number != unlogged || err != nil || !strings.Contains(said.String(), "no space left") {
		t.Fatalf("on a full disk: %d, %v, %q", number, err, said.String())
	}
	l.file = file
	if _, err := file.WriteString(`{"n":2,"endpo`); err != nil { // what it has taken
		t.Fatal(err)
	}
	third, err := l.Intend(store, "third")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	known, err := leftUploads(file)
	if u := known[third]; err != nil || len(known) != 1 || u.Key != "third" || u.Bucket != store.Name() {
		t.Errorf("it knows of %+v, %v", known, err)
	}
	l.Ended(third)
	if err := l.close(); err != nil || len(left(t, l)) != 0 {
		t.Errorf("left %q, %v", left(t, l), err)
	}
}

// Where nothing can be written down, copies are made all the same, and that is said once.
func TestCopyLogWithoutAPlace(t *testing.T) {
	for _, home := range []string{"/proc/nowhere", ""} {
		t.Setenv("XDG_CACHE_HOME", home)
		t.Setenv("HOME", "")
		store := memstore.New("bucket")
		var said strings.Builder
		l := newCopyLog(time.Now, &said)
		for _, key := range []string{"first", "second"} {
			if err := restripe(t.Context(), putContent(t, store, key, "content"), objstore.CopyPlan{Log: l}); err != nil {
				t.Errorf("XDG_CACHE_HOME=%q: %v", home, err)
			}
			if e, err := store.Stat(t.Context(), key); err != nil || !strings.HasSuffix(e.ETag, "-1") {
				t.Errorf("XDG_CACHE_HOME=%q: it is not in parts: %+v, %v", home, e, err)
			}
		}
		if err := l.close(); err != nil || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("XDG_CACHE_HOME=%q: %v, and it said %q", home, err, said.String())
		}
	}
}

// In a directory that machines share, the uploads of another machine are not given up, though nobody here has locked
// their file; those of this one are.
func TestCopyLogOfAnotherMachine(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	store := memstore.New("bucket")
	killedOn := func(boot string) (id string) {
		t.Helper()
		l := newCopyLog(time.Now, io.Discard)
		l.boot = boot
		number, err := l.Intend(store, "key")
		if err != nil {
			t.Fatal(err)
		}
		if id, err = store.CreateUpload(t.Context(), "key", objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Created(number, id), l.file.Close()); err != nil { // as its end closes it
			t.Fatal(err)
		}
		return id
	}
	theirs := killedOn("another-machine")
	killedOn(journal.Boot())
	l := newCopyLog(time.Now, io.Discard)
	for _, c := range []struct {
		alone bool
		left  []string
	}{{false, []string{theirs}}, {true, nil}} {
		l.alone = func() bool { return c.alone }
		if n, err := l.giveUpLeft(t.Context(), []objstore.Bucket{store}, nil); n != 1 || err != nil {
			t.Errorf("alone %v: %d, %v", c.alone, n, err)
		}
		if got := uploadsOf(t, store); !slices.Equal(got, c.left) || len(left(t, l)) != len(c.left) {
			t.Errorf("alone %v: left %q and %q, should be %q", c.alone, got, left(t, l), c.left)
		}
	}
	for dir, want := range map[string]bool{"/dev/shm": true, "/proc": false, "/nowhere": false} {
		if onLocalDisk(dir) != want {
			t.Errorf("%s is on a disk of this machine: %v", dir, !want)
		}
	}
}

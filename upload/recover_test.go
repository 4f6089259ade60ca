package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/upload/journal"
)

// remount ends the mount as a crash does, leaving what it left, and recovers with another.
func (r *rig) remount(change func(*Config)) Recovery {
	r.t.Helper()
	return r.remountWith(change, func() {})
}

// remountWith is remount, with the store's script for the new mount.
func (r *rig) remountWith(change func(*Config), script func()) Recovery {
	r.t.Helper()
	dead := r.cfg.Journal
	if err := errors.Join(r.Close(), dead.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.bucket.Clear()
	script()
	r.start(change)
	left, err := journal.Leftovers(r.root, func(journal.Owner) bool { return true })
	if err != nil {
		r.t.Fatal(err)
	}
	for _, dir := range left {
		if err := errors.Join(r.cfg.Journal.TakeOver(dir), dir.Close()); err != nil {
			r.t.Fatal(err)
		}
	}
	found, err := r.Recover(context.Background(), r.buckets)
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *rig) buckets(context.Context, string) (objstore.Bucket, error) { return r.bucket, nil }

// status is what is not stored, once nothing is under way.
func (r *rig) status() []Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	if p := r.Flush(ctx, nil); p.Files+p.Renames > 0 {
		r.t.Fatalf("%+v is left", p)
	}
	all, err := r.Status()
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// crashed is what a script had come to when the mount died.
type crashed struct {
	acknowledged map[string][]byte // by key: what a publication that returned no error has stored
	attempted    map[string][]byte // what the last one was of
}

func (c *crashed) publish(r *rig, f *File, key string, content []byte) error {
	c.attempted[key] = content
	_, err := f.Publish(context.Background())
	if err == nil {
		c.acknowledged[key] = content
	}
	return err
}

// TestUnclosedIsKept: what nobody had closed is not stored, its multipart upload is aborted, and it can be had as a
// file, stored after all, stored under another key, or given up.
func TestUnclosedIsKept(t *testing.T) {
	ctx := context.Background()
	for name, decide := range map[string]func(r *rig, id string, content []byte) error{
		"file": func(r *rig, id string, content []byte) error {
			to, err := os.Create(filepath.Join(r.t.TempDir(), "file"))
			if err != nil {
				return err
			}
			defer to.Close()
			if _, err := Export(ctx, r.cfg.Journal, id, fromStore{r.store}, to); err != nil {
				return err
			}
			if got, err := os.ReadFile(to.Name()); !bytes.Equal(got, content) {
				return fmt.Errorf("%d bytes, %w", len(got), err)
			}
			return r.Abort(ctx, r.buckets, id)
		},
		"retry": func(r *rig, id string, content []byte) error {
			err := r.Retry(ctx, r.buckets, id, false)
			if err == nil && !bytes.Equal(r.stored("key"), content) {
				err = errors.New("something else is stored")
			}
			return err
		},
		"other key": func(r *rig, id string, content []byte) error {
			err := r.StoreAs(ctx, r.buckets, id, "other")
			if err == nil && !bytes.Equal(r.stored("other"), content) {
				err = errors.New("something else is stored")
			}
			return err
		},
		"abort": func(r *rig, id string, _ []byte) error { return r.Abort(ctx, r.buckets, id) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			content := text(200<<10, 1)
			if found := r.kill(nil, "key", content); found.Kept != 1 || found.Storing != 0 {
				t.Errorf("found %+v", found)
			}
			for u := range r.store.ListUploads(ctx, "") {
				t.Errorf("%+v is left in the store", u)
			}
			all := r.status()
			if len(all) != 1 || all[0].State != StateKept || all[0].Size != int64(len(content)) {
				t.Fatalf("status is %+v", all)
			}
			if err := decide(r, all[0].ID, content); err != nil {
				t.Fatal(err)
			}
			r.settled()
		})
	}
}

// TestConflictAfterCrash: what lost against somebody else's write is asked about, and stays until it is decided.
func TestConflictAfterCrash(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, nil)
	f := r.open("key", true)
	r.write(f, []byte("mine"), 0)
	r.put("key", []byte("theirs"))
	if _, err := f.Publish(ctx); !errors.Is(err, objstore.ErrChanged) {
		t.Fatal(err)
	}
	f.Close()
	for range 2 { // in the mount where it happened, and in the next
		all := r.status()
		if len(all) != 1 || all[0].State != StateConflict || all[0].Reason == "" {
			t.Fatalf("status is %+v", all)
		}
		if err := r.Retry(ctx, r.buckets, all[0].ID, false); !errors.Is(err, ErrReplaced) {
			t.Errorf("to try again: %v", err)
		}
		if err := r.StoreAs(ctx, r.buckets, all[0].ID, "key"); !errors.Is(err, objstore.ErrExists) {
			t.Errorf("to store it as what is there: %v", err)
		}
		if got := r.stored("key"); string(got) != "theirs" {
			t.Errorf("%q is stored", got)
		}
		r.remount(nil)
	}
	if err := r.Retry(ctx, r.buckets, r.status()[0].ID, true); err != nil {
		t.Fatal(err)
	}
	if got := r.stored("key"); string(got) != "mine" {
		t.Errorf("%q is stored", got)
	}
	r.settled()
}

// TestLargerThanTheBudgetCrashes: parts that are nowhere else are kept in the store, and the file can be finished.
func TestLargerThanTheBudgetCrashes(t *testing.T) {
	small := func(c *Config) { c.Size = 256 << 10 }
	r := newRig(t, small)
	content := text(600<<10, 1)
	f := r.open("key", true)
	for off := 0; off < len(content); off += 20 << 10 {
		r.write(f, content[off:off+20<<10], int64(off))
	}
	if found := r.remount(small); found.Kept != 1 {
		t.Fatalf("found %+v", found)
	}
	all := r.status()
	if len(all) != 1 || all[0].Sent == 0 {
		t.Fatalf("status is %+v", all)
	}
	to, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := Export(context.Background(), r.cfg.Journal, all[0].ID, fromStore{r.store}, to); err == nil {
		t.Error("parts were had back from the store")
	}
	if err := r.Retry(context.Background(), r.buckets, all[0].ID, false); err != nil {
		t.Fatal(err)
	}
	if got := r.stored("key"); !bytes.Equal(got, content) {
		t.Errorf("%d bytes are stored, and differ", len(got))
	}
	r.settled()
}

// TestDamagedIsLeftAlone: nothing is done by a log that cannot be trusted.
func TestDamagedIsLeftAlone(t *testing.T) {
	r := newRig(t, nil)
	f := r.open("key", true)
	r.write(f, []byte("content"), 0)
	s, _ := f.live()
	log := filepath.Join(r.cfg.Journal.Path(), s.ID+".log")
	if err := os.WriteFile(log, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := r.remount(nil); found.Kept != 1 {
		t.Errorf("found %+v", found)
	}
	all := r.status()
	if len(all) != 1 || all[0].State != StateDamaged {
		t.Fatalf("status is %+v", all)
	}
	if err := r.Retry(context.Background(), r.buckets, all[0].ID, true); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("to try again: %v", err)
	}
	r.abortAll()
	r.settled()
}

// TestBeingWritten: nobody decides about a file that a process has open.
func TestBeingWritten(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, nil)
	f := r.open("key", true)
	r.write(f, []byte("content"), 0)
	s, _ := f.live()
	for _, err := range []error{
		r.Abort(ctx, r.buckets, s.ID), r.Retry(ctx, r.buckets, s.ID, true), r.StoreAs(ctx, r.buckets, s.ID, "other"),
	} {
		if !errors.Is(err, ErrBeingWritten) {
			t.Errorf("got %v", err)
		}
	}
	if err := r.Abort(ctx, r.buckets, "0123456789ab"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an id that is not there: %v", err)
	}
	f.Close()
	r.settled()
}

// A mount that dies when a file has taken the name of another, before the other's log says so, leaves the one that has
// the name; but what was acknowledged is not given up for what is not to be stored.
func TestRenameOverCrashes(t *testing.T) {
	back := func(c *Config) { c.WriteBack = true }
	for _, closed := range []bool{true, false} {
		r := newRig(t, back)
		r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrTimeout})
		over, f := r.open("g", true), r.open("f", true)
		r.write(over, []byte("old"), 0)
		r.publish(over)
		over.Close()
		r.write(f, []byte("new"), 0)
		if closed {
			r.publish(f)
		}
		over.Withdraw(t.Context())
		left, did, err := f.Rename(t.Context(), t.Context(), Target{Bucket: r.bucket, Key: "g"}, over)
		if !closed && !did && errors.Is(err, ErrStoreFirst) {
			did, err = true, f.note(journal.Retarget{Key: "g", Over: over.logged()}) // as an earlier version's log may say
		}
		if left.ETag != "" || !did || err != nil {
			t.Fatal(closed, left, did, err)
		}
		shown, err := StatusAt(r.cfg.Journal) // as who finds it at rest
		if err != nil || len(shown) != map[bool]int{true: 1, false: 2}[closed] {
			t.Errorf("closed %v: shown are %+v, %v", closed, shown, err)
		}
		r.remount(back)
		want := map[bool]string{true: "new", false: "old"}[closed]
		kept := r.status()
		if got := r.stored("g"); string(got) != want {
			t.Errorf("closed %v: %q is stored", closed, got)
		}
		if closed && len(kept) > 0 || !closed && (len(kept) != 1 || kept[0].State != StateKept) {
			t.Errorf("closed %v: %+v are left", closed, kept)
		}
		if _, err := r.store.Stat(t.Context(), "f"); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("under the old name: %v", err)
		}
	}
}

// What is held is stored when that ends, under the key that it has then; what is opened meanwhile is held too, and a
// store's other ETags are gone by.
func TestHold(t *testing.T) {
	r := newRig(t, nil)
	r.put("a/old", []byte("0123456789"))
	was := r.open("a/old", false)
	r.write(was, []byte("x"), 3)
	h, err := r.Hold(t.Context(), r.bucket, "a/")
	if err != nil {
		t.Fatal(err)
	}
	fresh := r.open("a/new", true)
	r.write(fresh, []byte("new"), 0)
	fresh.Close()
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := was.Publish(impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what is held: %v", err)
	}
	e := r.put("b/old", []byte("0123456789")) // as a move
	if err := r.store.Delete(t.Context(), "a/old"); err != nil {
		t.Fatal(err)
	}
	h.Moved("b/", map[string]NewETag{"a/old": {Old: e.ETag, New: e.ETag}})
	h.Release()
	r.publish(was)
	was.Close()
	r.settled()
	if string(r.stored("b/old")) != "012x456789" || string(r.stored("b/new")) != "new" {
		t.Errorf("%q and %q are stored", r.stored("b/old"), r.stored("b/new"))
	}
	for _, key := range []string{"a/old", "a/new"} {
		if _, err := r.store.Stat(t.Context(), key); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// What is written over after it was stored, and not closed before a crash, is kept for its owner as it was written,
// though all of it was in the staging file before; with something else written or without.
func TestWrittenOverAfterItWasStoredCrashes(t *testing.T) {
	for _, appended := range []bool{false, true} {
		r := newRig(t, nil)
		f, content := r.open("key", true), text(200<<10, 1)
		r.write(f, content, 0)
		r.publish(f)
		copy(content[90<<10:], text(5000, 2))
		r.write(f, text(5000, 2), 90<<10)
		if appended {
			content = append(content, "more"...)
			r.write(f, []byte("more"), 200<<10)
		}
		r.remount(nil)
		left := r.status()
		if len(left) != 1 || left[0].State != StateKept {
			t.Fatalf("appended %v: left are %+v", appended, left)
		}
		if err := r.Retry(t.Context(), r.buckets, left[0].ID, false); err != nil {
			t.Fatal(err)
		}
		if got := r.stored("key"); !bytes.Equal(got, content) {
			t.Errorf("appended %v: %d bytes are stored, and not those", appended, len(got))
		}
		r.settled()
	}
}

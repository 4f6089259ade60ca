package upload

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// asked counts the requests of a rig that change the bucket, by operation and key.
type asked struct {
	mu  sync.Mutex // guards all
	all map[objstore.Op]int
}

func watch(bucket *faultstore.Store) *asked {
	a := &asked{all: make(map[objstore.Op]int)}
	for _, op := range []objstore.Op{objstore.OpPut, objstore.OpCopy, objstore.OpRename, objstore.OpDelete, objstore.OpCreateUpload} {
		bucket.Add(faultstore.Fault{Op: op, Before: func(context.Context) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.all[op]++
			return nil
		}})
	}
	return a
}

func (a *asked) count(op objstore.Op) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[op]
}

// rested runs a test of a mount with write-back whose clock goes on only while nothing else does.
func rested(t *testing.T, test func(t *testing.T, r *rig, a *asked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.WriteBack = true })
		test(t, r, watch(r.bucket))
	})
}

// A small file that is safe on the local disk is stored after a rest, in which writers are not kept out, and which who
// closes it again does not prolong.
func TestRestAfterClose(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, a *asked) {
		f := r.open("key", true)
		r.write(f, []byte("text"), 0)
		r.publish(f)
		time.Sleep(restAfterClose - time.Millisecond)
		r.write(f, []byte("more"), 4)
		r.publish(f)
		synctest.Wait()
		if n := a.count(objstore.OpPut); n != 0 {
			t.Errorf("%d PUTs before the rest is over", n)
		}
		records, err := r.cfg.Journal.Uploads()
		if err != nil || len(records) != 1 || !records[0].Acknowledged || records[0].Size != 8 {
			t.Errorf("%+v, %v", records, err)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := a.count(objstore.OpPut); n != 1 {
			t.Errorf("%d PUTs when it is over", n)
		}
		if got := r.stored("key"); string(got) != "textmore" {
			t.Errorf("%q is stored", got)
		}
		f.Close()
		r.settled()
	})
}

// What is renamed while it rests is stored once, under its new key; what is removed is not stored at all.
func TestRestSparesRequests(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, a *asked) {
		renamed, removed := r.open("tmp", true), r.open("lock", true)
		for _, f := range []*File{renamed, removed} {
			r.write(f, []byte("text"), 0)
			r.publish(f)
		}
		if removed.Discard(t.Context()) {
			t.Error("it was being stored")
		}
		if _, did, err := renamed.Rename(t.Context(), t.Context(), Target{Bucket: r.bucket, Key: "final"}, nil); err != nil || !did {
			t.Fatal(did, err)
		}
		synctest.Wait()
		if got := r.stored("final"); string(got) != "text" { // it has its name: there is nothing to be waited for
			t.Errorf("%q is stored", got)
		}
		renamed.Close()
		removed.Close()
		r.settled()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(a.all) != 1 || a.all[objstore.OpPut] != 1 {
			t.Errorf("it cost %v", a.all)
		}
	})
}

// A rest ends at once when somebody waits for the store, or for room, or for the end.
func TestRestEnds(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(r *rig, f *File) error{
		"store": func(_ *rig, f *File) error { _, err := f.Store(ctx); return err },
		"due":   func(r *rig, _ *File) error { return r.StoreDue(ctx, r.bucket, "key") },
		"flush": func(r *rig, _ *File) error { r.Flush(ctx, nil); return nil },
		"room": func(r *rig, _ *File) error {
			r.budget.limit = 10
			other := r.open("other", true)
			err := other.WriteAt(ctx, text(10, 1), 0)
			other.Discard(ctx)
			other.Close()
			return err
		},
		"hold": func(r *rig, f *File) error { // which keeps it from being stored; then it is
			h, err := r.Hold(ctx, r.bucket, "key")
			if err != nil {
				return err
			}
			time.Sleep(2 * restAfterClose)
			if !f.Changed() {
				return errors.New("it is stored while it is held")
			}
			before := time.Now()
			h.Release()
			_, err = f.Store(ctx)
			time.Sleep(restAfterClose - time.Since(before) - time.Millisecond) // as the others
			return err
		},
		"restored": func(_ *rig, f *File) error {
			f.Withdraw(ctx)
			time.Sleep(2 * restAfterClose)
			f.Restore()
			synctest.Wait()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			rested(t, func(t *testing.T, r *rig, a *asked) {
				f := r.open("key", true)
				r.write(f, []byte("text"), 0)
				r.publish(f)
				f.Close()
				if n := a.count(objstore.OpPut); n != 0 {
					t.Errorf("%d PUTs before the rest is over", n)
				}
				if err := end(r, f); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if n := a.count(objstore.OpPut); n != 1 {
					t.Errorf("%d PUTs afterwards", n)
				}
				if got := r.stored("key"); string(got) != "text" {
					t.Errorf("%q is stored", got)
				}
				r.settled()
			})
		})
	}
}

// Who waits for the store does not rest with those who wait for the local disk.
func TestStoreWhileSaving(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, a *asked) {
		f := r.open("key", true)
		r.write(f, []byte("text"), 0)
		if err := f.turn.hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		began, saved := time.Now(), make(chan error, 1)
		go func() { _, err := f.Publish(t.Context()); saved <- err }()
		synctest.Wait()
		stored := make(chan error, 1)
		go func() { _, err := f.Store(t.Context()); stored <- err }()
		synctest.Wait()
		f.turn.release()
		if err := errors.Join(<-saved, <-stored); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 || a.count(objstore.OpPut) != 1 {
			t.Errorf("after %v there were %v", took, a.all)
		}
		f.Close()
		r.settled()
	})
}

// A mount that dies while a file rests has it in the log, and the next one stores it.
func TestCrashWhileResting(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, a *asked) {
		f := r.open("tmp", true)
		r.write(f, []byte("text"), 0)
		r.publish(f)
		f.Close()
		r.remount(func(c *Config) { c.WriteBack = true })
		if n := a.count(objstore.OpPut); n != 0 {
			t.Errorf("%d PUTs before the crash", n)
		}
		r.settled()
		if got := r.stored("tmp"); string(got) != "text" {
			t.Errorf("%q is stored", got)
		}
	})
}

// A file of more than one part does not rest: what is left of it to be sent may be much.
func TestNoRestForParts(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, _ *asked) {
		f := r.open("key", true)
		r.write(f, text(300_000, 1), 0)
		r.publish(f)
		began := time.Now()
		synctest.Wait()
		if f.Changed() || time.Since(began) > 0 {
			t.Error("it rests")
		}
		f.Close()
		r.settled()
	})
}

// What is due below a directory that is to be renamed is stored at the same time, and not one after the other.
func TestStoreDueAtOnce(t *testing.T) {
	rested(t, func(t *testing.T, r *rig, _ *asked) {
		for _, key := range []string{"d/1", "d/2", "d/3"} {
			f := r.open(key, true)
			r.write(f, []byte("text"), 0)
			r.publish(f)
			defer f.Close()
		}
		r.bucket.Clear()
		r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Before: func(context.Context) error {
			time.Sleep(time.Second)
			return nil
		}})
		began := time.Now()
		if err := r.StoreDue(t.Context(), r.bucket, "d/"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

package upload

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// What is to be removed later is, as soon as the store does it, also by the next mount; what is written under its key
// meanwhile is stored afterwards.
func TestRemoveLater(t *testing.T) {
	for _, crash := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			e := r.put("key", []byte("old"))
			r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 3, Err: objstore.ErrTimeout})
			if err := r.RemoveLater(r.bucket, objstore.VersionOf(r.store, e)); err != nil {
				t.Fatal(err)
			}
			if crash {
				synctest.Wait()
				r.remount(nil)
				if p := r.Flush(t.Context(), nil); p.Renames > 0 {
					t.Errorf("%+v is left", p)
				}
				if _, err := r.store.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrNotExist) {
					t.Errorf("after a crash: %v", err)
				}
				return
			}
			if all, err := r.Status(); err != nil || len(all) != 1 || all[0].State != StateRemoving || all[0].Key != "key" {
				t.Errorf("%+v, %v", all, err)
			}
			f, err := r.Open(Target{Bucket: r.bucket, Key: "key"}, Base{})
			if err != nil {
				t.Fatal(err)
			}
			r.write(f, []byte("new"), 0)
			r.publish(f) // it is new: an object that is there is refused
			f.Close()
			r.settled()
			if got := r.stored("key"); string(got) != "new" {
				t.Errorf("%q is stored", got)
			}
		})
	}
}

// A removal that the store refuses is not tried again unasked; what somebody else has put under the key is not removed.
func TestRemoveLaterRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		e := r.put("key", []byte("old"))
		v := objstore.VersionOf(r.store, e)
		r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 1, Err: objstore.ErrPermission})
		if err := r.RemoveLater(r.bucket, v); err != nil {
			t.Fatal(err)
		}
		r.Flush(t.Context(), nil)
		all, err := r.Status()
		if err != nil || len(all) != 1 || all[0].State != StateStopped || all[0].Reason == "" {
			t.Fatalf("%+v, %v", all, err)
		}
		r.put("key", []byte("somebody else's"))
		if err := r.Retry(t.Context(), r.buckets, all[0].ID, false); err != nil {
			t.Error(err)
		}
		if got := r.stored("key"); string(got) != "somebody else's" {
			t.Errorf("%q is stored", got)
		}
		if all, err = r.Status(); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// What is put under a key in the moment before its removal stays, where the store removes under a condition.
func TestRemoveVersion(t *testing.T) {
	r := newRig(t, nil)
	v := objstore.VersionOf(r.store, r.put("key", []byte("old")))
	r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 1, Before: func(context.Context) error {
		r.put("key", []byte("somebody else's"))
		return nil
	}})
	if err := r.RemoveVersion(t.Context(), r.bucket, v); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("%v", err)
	}
	if got := r.stored("key"); string(got) != "somebody else's" {
		t.Errorf("%q is stored", got)
	}
	v = objstore.VersionOf(r.store, r.put("key", []byte("old")))
	r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 1, Err: objstore.ErrUnsupported}) // then it is done without
	if err := r.RemoveVersion(t.Context(), r.bucket, v); err != nil {
		t.Error(err)
	}
	if err := r.RemoveVersion(t.Context(), r.bucket, v); err != nil {
		t.Errorf("what is gone: %v", err)
	}
	r.mover.remover = objstore.VersionRemover{}
	v = objstore.VersionOf(r.store, r.put("key", []byte("old")))
	r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 1, Lost: objstore.ErrChanged}) // the second try finds nothing
	if err := r.RemoveVersion(t.Context(), r.bucket, v); err != nil {
		t.Errorf("what is gone: %v", err)
	}
}

// What a person has stored is in the bucket when they are told so, with write-back too.
func TestRetryWaitsForTheStore(t *testing.T) {
	back := func(c *Config) { c.WriteBack = true }
	r := newRig(t, back)
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	r.remount(back) // nobody had closed it
	all, err := r.Status()
	if err != nil || len(all) != 1 || all[0].State != StateKept {
		t.Fatalf("%+v, %v", all, err)
	}
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Err: objstore.ErrTimeout})
	if err := r.Retry(t.Context(), r.buckets, all[0].ID, false); !errors.Is(err, objstore.ErrTimeout) {
		t.Errorf("a store that does not answer: %v", err)
	}
	if err := r.Retry(t.Context(), r.buckets, all[0].ID, false); err != nil {
		t.Error(err)
	}
	if got := r.stored("key"); string(got) != "text" {
		t.Errorf("%q is stored", got)
	}
	r.settled()
}

// What is to be removed later is so after a loss of power, once the names are synced: with write-back and without.
func TestRemoveLaterIsSynced(t *testing.T) {
	for _, back := range []bool{false, true} {
		disk := lossyDisk{t: t}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.WriteBack = back })
			disk.start(r.cfg.Journal)
			e := r.put("key", []byte("old"))
			r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Err: objstore.ErrTimeout})
			if err := r.RemoveLater(r.bucket, objstore.VersionOf(r.store, e)); err != nil {
				t.Fatal(err)
			}
			if err := r.SyncNames(); err != nil {
				t.Fatal(err)
			}
			syncs := len(disk.moments)
			if err := r.SyncNames(); err != nil || len(disk.moments) != syncs {
				t.Errorf("%d more are synced: %v", len(disk.moments)-syncs, err)
			}
			disk.moment("after the sync")
		})
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.put("key", []byte("old"))
			last := disk.moments[len(disk.moments)-1]
			last.synced["owner.json"] = last.now["owner.json"]
			r.leave(last.synced)
			r.remount(nil)
			if left := r.status(); len(left) > 0 {
				t.Errorf("write-back %v: %+v are left", back, left)
			}
			if _, err := r.store.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrNotExist) {
				t.Errorf("write-back %v: it is not removed: %v", back, err)
			}
			r.settled()
		})
	}
}

// A sync of the names that has failed is done anew when it is asked for again, and so is one that somebody else has not
// finished.
func TestRemoveLaterIsSyncedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		dir := r.cfg.Journal
		e := r.put("key", []byte("old"))
		r.bucket.Add(faultstore.Fault{Op: objstore.OpDelete, Times: 3, Err: objstore.ErrTimeout})
		if err := r.RemoveLater(r.bucket, objstore.VersionOf(r.store, e)); err != nil {
			t.Fatal(err)
		}
		away, syncs := dir.Path()+".away", 0
		dir.Fdatasync = func(*os.File) error {
			if syncs++; syncs == 1 { // the log is synced, and its name cannot be
				return os.Rename(dir.Path(), away)
			}
			return nil
		}
		if err := r.SyncNames(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without the directory: %v", err)
		}
		if err := os.Rename(away, dir.Path()); err != nil {
			t.Fatal(err)
		}
		if err := r.SyncNames(); err != nil || syncs != 2 {
			t.Errorf("%d times synced, %v", syncs, err)
		}
		r.settled()
	})
}

package upload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// lock opens a new name that must be new.
func (r *rig) lock() *File {
	r.t.Helper()
	f, err := r.Open(Target{Bucket: r.bucket, Key: "lock", Exclusive: true}, Base{})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// lockWithoutAnswer is a lock that is in the store, of which nobody has heard that; and its target from before.
func (r *rig) lockWithoutAnswer() (*File, Target) {
	r.t.Helper()
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Lost: objstore.ErrTimeout})
	f := r.lock()
	target := f.Target()
	if _, err := f.Store(r.t.Context()); !errors.Is(err, objstore.ErrTimeout) {
		r.t.Fatal(err)
	}
	return f, target
}

// Of two who make an empty file that must be new exactly one has it, also where the first one's answer is lost, whether
// its write came to be or the other's, and whether it is the same mount that asks again.
func TestOneHasTheLock(t *testing.T) {
	for name, mine := range map[string]bool{"mine": true, "theirs": false} {
		for _, crash := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, func(c *Config) { c.WriteBack = crash })
					other := newRig(t, nil)
					other.bucket, other.store = faultstore.New(r.store), r.store
					r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Times: 1, Before: func(context.Context) error {
						if mine {
							return nil
						}
						_, err := other.lock().Publish(t.Context())
						return errors.Join(objstore.ErrTimeout, err)
					}, Lost: objstore.ErrTimeout})
					f := r.lock()
					if _, err := f.Store(t.Context()); !errors.Is(err, objstore.ErrTimeout) {
						t.Fatal(err)
					}
					if crash {
						f.calm()
						r.remount(nil)
						if left := r.status(); len(left) > 0 || (r.Stats().Stored == 1) != mine {
							t.Errorf("after a crash %+v are left, and %d are stored", left, r.Stats().Stored)
						}
						return
					}
					_, err := f.Store(t.Context())
					if errors.Is(err, objstore.ErrExists) == mine || mine && err != nil {
						t.Errorf("it is %v", err)
					}
					_, err = other.lock().Store(t.Context())
					if !errors.Is(err, objstore.ErrExists) {
						t.Errorf("the other, afterwards: %v", err)
					}
				})
			})
		}
	}
}

// An empty file that could not be made, and comes to be after whoever made it was told so, is removed; one that
// somebody else makes meanwhile stays.
func TestRemoveLate(t *testing.T) {
	for _, others := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			var late objstore.Attributes
			f, target := r.lockWithoutAnswer()
			e, err := r.store.Stat(t.Context(), "lock")
			if err != nil {
				t.Fatal(err)
			}
			late.Metadata = e.Metadata
			if err := r.store.Delete(t.Context(), "lock"); err != nil { // it comes later
				t.Fatal(err)
			}
			if !f.Discard(t.Context()) {
				t.Error("nothing may have appeared")
			}
			f.RemoveLate(target)
			f.Close()
			time.Sleep(20 * time.Second)
			if others {
				late.Metadata = map[string]string{objstore.WriterMetadata: "another"}
			}
			if _, err := r.store.Put(t.Context(), "lock", strings.NewReader(""), 0, objstore.Condition{IfNew: true}, late); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lateRemoval)
			if _, err := r.store.Stat(t.Context(), "lock"); errors.Is(err, objstore.ErrNotExist) == others {
				t.Errorf("of another: %v, and it is %v", others, err)
			}
			r.settled()
		})
	}
}

// A late empty file that somebody on this mount has open for writing is theirs: it stays, and what they write replaces
// it, without the name of who made it.
func TestRemoveLateOfOneInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		f, target := r.lockWithoutAnswer()
		user := r.open("lock", false)
		r.write(user, []byte("mine"), 0)
		if !f.Discard(t.Context()) {
			t.Error("nothing may have appeared")
		}
		f.RemoveLate(target)
		f.Close()
		time.Sleep(lateRemoval / 2)
		if got := r.metadata("lock"); got[objstore.WriterMetadata] == "" {
			t.Errorf("the metadata of what is to be replaced are %v", got)
		}
		r.publish(user)
		time.Sleep(lateRemoval)
		if got := string(r.stored("lock")); got != "mine" {
			t.Errorf("the file has %q", got)
		}
		if got := r.metadata("lock"); got[objstore.WriterMetadata] != "" {
			t.Errorf("it has the metadata %v", got)
		}
		user.Close()
		r.settled()
	})
}

// A removal that was done is not looked for any more.
func TestRemoveLateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		f, target := r.lockWithoutAnswer()
		f.Discard(t.Context())
		asked := r.bucket.Count(objstore.OpStat)
		f.RemoveLate(target)
		f.Close()
		time.Sleep(2 * lateRemoval)
		if n := r.bucket.Count(objstore.OpStat) - asked; n > 2 { // to see it, and once more for a removal without a condition
			t.Errorf("it is looked for %d times", n)
		}
		if _, err := r.store.Stat(t.Context(), "lock"); !errors.Is(err, objstore.ErrNotExist) {
			t.Errorf("it is there: %v", err)
		}
		r.settled()
	})
}

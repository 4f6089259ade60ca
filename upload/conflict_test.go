package upload

import (
	"context"
	"errors"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// Who comes second has lost, is told so, and keeps what was written; a name that had to be new exists.
func TestConflict(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		for _, size := range []int{10, 1 << 20} {
			r := newRig(t, nil)
			f, err := r.Open(Target{Bucket: r.bucket, Key: "key", Exclusive: exclusive}, Base{})
			if err != nil {
				t.Fatal(err)
			}
			r.write(f, text(size, 1), 0)
			r.put("key", []byte("theirs"))
			want := objstore.ErrChanged
			if exclusive {
				want = objstore.ErrExists
			}
			var told error
			f.OnStored(func(_ objstore.Entry, err error) { told = err })
			for range 2 {
				if _, err := f.Publish(context.Background()); !errors.Is(err, want) {
					t.Errorf("%v, should be %v", err, want)
				}
			}
			f.Close()
			if !errors.Is(told, want) || string(r.stored("key")) != "theirs" {
				t.Errorf("told %v, stored %q", told, r.stored("key"))
			}
			records, err := r.cfg.Journal.Uploads()
			if err != nil || len(records) != 1 || records[0].State.String() != "conflict" || records[0].Size != int64(size) {
				t.Errorf("%+v, %v", records, err)
			}
		}
	}
}

// An empty file that had to be new, and is not, is a lock that somebody else has: nothing of it is kept.
func TestConflictOfNothing(t *testing.T) {
	r := newRig(t, nil)
	f, err := r.Open(Target{Bucket: r.bucket, Key: "key", Exclusive: true}, Base{})
	if err != nil {
		t.Fatal(err)
	}
	r.put("key", []byte("theirs"))
	for range 2 {
		if _, err := f.Publish(context.Background()); !errors.Is(err, objstore.ErrExists) {
			t.Errorf("%v, should be that it exists", err)
		}
	}
	if err := f.WriteAt(context.Background(), text(10, 1), 0); !errors.Is(err, objstore.ErrExists) {
		t.Errorf("write: %v, should be that it exists", err)
	}
	f.Close()
	r.settled()
	if got := r.stored("key"); string(got) != "theirs" {
		t.Errorf("stored is %q", got)
	}
}

// A store without conditions is written to after it was looked at.
func TestWithoutConditions(t *testing.T) {
	r := newRig(t, nil)
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrUnsupported, Times: 1})
	f := r.open("key", true)
	r.write(f, []byte("text"), 0)
	r.publish(f)
	r.put("key", []byte("theirs"))
	r.write(f, []byte("more"), 4)
	if _, err := f.Publish(context.Background()); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("%v", err)
	}
	f.Close()
	if got := r.stored("key"); string(got) != "theirs" {
		t.Errorf("%q is stored", got)
	}
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

// TestMoveObject: an object has its new name, its attributes, and no old name, whatever the store can do.
func TestMoveObject(t *testing.T) {
	for _, c := range []struct {
		name    string
		rename  bool
		maxCopy int64
		request objstore.Op
	}{
		{"renamed by the store", true, objstore.MaxCopy, objstore.OpRename},
		{"copied", false, objstore.MaxCopy, objstore.OpCopy},
		{"copied in parts", false, 7, objstore.OpCopyPart},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newMoveRig(t, c.rename)
			r.maxCopy, r.copyPart = c.maxCopy, 4
			v := r.put(t, "old", "0123456789")
			e, err := r.object(context.Background(), r.bucket, v, "new", objstore.Condition{IfNew: true})
			if err != nil {
				t.Fatal(err)
			}
			r.want(t, "after", map[string]string{"new": "0123456789"})
			stored, err := r.inner.Stat(context.Background(), "new")
			if err != nil || e.Key != "new" || e.ETag != stored.ETag || e.Size != stored.Size {
				t.Errorf("it says %+v, the store %+v %v", e, stored, err)
			}
			if stored.ContentType != "text/x" || stored.Metadata["k"] != "v" {
				t.Errorf("the attributes are %+v", stored)
			}
			if r.bucket.Count(c.request) == 0 || len(r.logs(t)) != 0 || r.uploads(t) != 0 {
				t.Errorf("%d of the requests expected, %d logs and %d uploads left", r.bucket.Count(c.request), len(r.logs(t)), r.uploads(t))
			}
		})
	}
}

// TestMoveObjectRefused: what is refused changes nothing.
func TestMoveObjectRefused(t *testing.T) {
	for _, rename := range []bool{true, false} {
		for _, c := range []struct {
			name string
			cond objstore.Condition
			etag string
			want error
		}{
			{"the new name is taken", objstore.Condition{IfNew: true}, "", objstore.ErrExists},
			{"what it replaces was replaced", objstore.Condition{IfMatch: "other"}, "", objstore.ErrChanged},
			{"what is moved was replaced", objstore.Condition{}, "other", objstore.ErrChanged},
		} {
			for _, limit := range []int64{objstore.MaxCopy, 1} {
				t.Run(fmt.Sprint(c.name, rename, limit), func(t *testing.T) {
					r := newMoveRig(t, rename)
					r.maxCopy = limit
					v := r.put(t, "old", "content")
					r.put(t, "new", "content") // the same, and nevertheless in the way
					if c.etag != "" {
						v.ETag = c.etag
					}
					_, err := r.object(context.Background(), r.bucket, v, "new", c.cond)
					if !errors.Is(err, c.want) {
						t.Errorf("got %v, want %v", err, c.want)
					}
					r.want(t, "after", map[string]string{"old": "content", "new": "content"})
					if len(r.logs(t)) != 0 || r.uploads(t) != 0 {
						t.Errorf("%d logs and %d uploads are left", len(r.logs(t)), r.uploads(t))
					}
				})
			}
		}
	}
}

// TestMoveIsTold: whoever keeps bytes is told of the key, and the ETag, that they have now, and not where it is not
// sure that they are the same.
func TestMoveIsTold(t *testing.T) {
	ctx := context.Background()
	for _, rename := range []bool{true, false} {
		r := newMoveRig(t, rename)
		for _, v := range []objstore.Version{r.put(t, "old", "content"), r.putParts(t, "parts", "content")} {
			e, err := r.object(ctx, r.bucket, v, v.Key+"-new", objstore.Condition{IfNew: true})
			if err != nil {
				t.Fatal(err)
			}
			if to, _ := r.carried.Load(v); to != objstore.VersionOf(r.bucket, e) || e.Key != v.Key+"-new" {
				t.Errorf("rename %v: %v became %v", rename, v, to)
			}
		}
		v := r.put(t, "in doubt", "content")
		replace := func(context.Context) error {
			r.put(t, "in doubt", "another")
			r.put(t, "in doubt-new", "another")
			return nil
		}
		r.bucket.Add(faultstore.Fault{Op: objstore.OpStat, Before: replace})
		if _, err := r.object(ctx, r.bucket, v, "in doubt-new", objstore.Condition{IfNew: true}); rename == (err != nil) {
			t.Errorf("rename %v: %v", rename, err)
		}
		if to, told := r.carried.Load(v); told {
			t.Errorf("rename %v: what was replaced meanwhile became %v", rename, to)
		}
	}
}

// TestMoveKeepsWhatIsNew: a source that is replaced while it is copied is not removed, and the journal says so.
func TestMoveKeepsWhatIsNew(t *testing.T) {
	r := newMoveRig(t, false)
	v := r.put(t, "old", "content")
	r.bucket.Add(faultstore.Fault{Op: objstore.OpStat, Key: "old", Before: func(context.Context) error {
		r.put(t, "old", "somebody else's")
		return nil
	}})
	if _, err := r.object(context.Background(), r.bucket, v, "new", objstore.Condition{IfNew: true}); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("got %v", err)
	}
	r.want(t, "after", map[string]string{"old": "somebody else's", "new": "content"})
	if logs := r.logs(t); len(logs) != 1 || !logs[0].Stopped || logs[0].Reason == "" {
		t.Errorf("the journal has %+v", logs)
	}
}

// TestMoveWithoutConditions: where the store has none, what is there is looked at first.
func TestMoveWithoutConditions(t *testing.T) {
	r := newMoveRig(t, false)
	noConditions := faultstore.Fault{Op: objstore.OpCopy, Times: 1, Err: objstore.ErrUnsupported}
	v := r.put(t, "old", "content")
	r.put(t, "there", "other")
	r.bucket.Add(noConditions)
	if _, err := r.object(context.Background(), r.bucket, v, "there", objstore.Condition{IfNew: true}); !errors.Is(err, objstore.ErrExists) {
		t.Errorf("got %v", err)
	}
	r.bucket.Add(noConditions)
	if _, err := r.object(context.Background(), r.bucket, v, "there", objstore.Condition{IfMatch: "not this"}); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("got %v", err)
	}
	r.bucket.Add(noConditions)
	if _, err := r.object(context.Background(), r.bucket, v, "new", objstore.Condition{IfNew: true}); err != nil {
		t.Error(err)
	}
	r.want(t, "after", map[string]string{"there": "other", "new": "content"})
}

// TestMoveDirectory: everything below has moved, keys of odd bytes and the marker too, over an empty directory as well.
func TestMoveDirectory(t *testing.T) {
	for _, rename := range []bool{true, false} {
		r := newMoveRig(t, rename)
		want := map[string]string{"ab": "beside", "b/": ""}
		r.put(t, "ab", "beside")
		r.put(t, "a/", "")
		r.put(t, "b/", "")
		for i := range 200 {
			r.put(t, fmt.Sprintf("a/%d/x\xff", i), fmt.Sprint(i))
			want[fmt.Sprintf("b/%d/x\xff", i)] = fmt.Sprint(i)
		}
		if err := r.rename(context.Background(), r.bucket, "a/", "b/"); err != nil {
			t.Fatal(err)
		}
		r.want(t, "after", want)
		if len(r.logs(t)) != 0 {
			t.Errorf("%d logs are left", len(r.logs(t)))
		}
	}
}

// TestMoveDirectoryRefused: a name that is too long, or below itself, and a listing that fails, move nothing.
func TestMoveDirectoryRefused(t *testing.T) {
	r := newMoveRig(t, true)
	key := "a/" + strings.Repeat("x", objstore.MaxKey-10)
	r.put(t, key, "long")
	r.put(t, "a/0", "short")
	want := map[string]string{"a/0": "short", key: "long"}
	if err := r.rename(context.Background(), r.bucket, "a/", "a/b/"); !errors.Is(err, objstore.ErrInvalid) {
		t.Errorf("below itself: %v", err)
	}
	if err := r.rename(context.Background(), r.bucket, "a/", "a longer name/"); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("too long: %v", err)
	}
	r.bucket.Add(faultstore.Fault{Op: objstore.OpList, Err: objstore.ErrPermission})
	if err := r.rename(context.Background(), r.bucket, "a/", "b/"); !errors.Is(err, objstore.ErrPermission) {
		t.Errorf("not listed: %v", err)
	}
	r.want(t, "after", want)
	if len(r.logs(t)) != 0 {
		t.Errorf("%d logs are left", len(r.logs(t)))
	}
}

// TestMoveDirectoryInPart: what cannot be moved is named, stays in the journal, and does not hold up the rest.
func TestMoveDirectoryInPart(t *testing.T) {
	r := newMoveRig(t, false)
	for i := range 10 {
		r.put(t, fmt.Sprintf("a/%d", i), fmt.Sprint(i))
	}
	r.bucket.Add(faultstore.Fault{Op: objstore.OpCopy, Key: "b/3", Err: objstore.ErrPermission})
	r.put(t, "b/5", "in the way")
	err := r.rename(context.Background(), r.bucket, "a/", "b/")
	if !errors.Is(err, objstore.ErrPermission) || !strings.Contains(err.Error(), "a/3") || !strings.Contains(err.Error(), "2 objects") {
		t.Errorf("got %v", err)
	}
	got := r.contents(t)
	if len(got) != 11 || got["a/3"] != "3" || got["a/5"] != "5" || got["b/5"] != "in the way" || got["b/9"] != "9" {
		t.Errorf("the store has %v", got)
	}
	logs := r.logs(t)
	if len(logs) != 1 || !logs[0].Stopped || logs[0].Planned != 10 || logs[0].Done != 8 || !strings.Contains(err.Error(), logs[0].ID) {
		t.Errorf("the journal has %+v", logs)
	}
}

package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// stored is how many objects a bucket holds.
func stored(t *testing.T, bucket objstore.Bucket) (n int) {
	t.Helper()
	for page, err := range bucket.List(t.Context(), objstore.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Entries)
	}
	return n
}

// made is a maker that has stored so many small objects.
func made(t *testing.T, bucket objstore.Bucket, files int) *maker {
	t.Helper()
	m := newMaker(bucket, "run/")
	if _, err := m.make(t.Context(), 0, files, func(kinds ...kind) bool { return kinds[0] == kindFiles }); err != nil {
		t.Fatal(err)
	}
	return m
}

// One object that cannot be removed keeps no other one in the bucket, and the error says what to do.
func TestRemoveGoesOnAfterAFailure(t *testing.T) {
	const files = 5 * smallAtOnce
	inner := memstore.New("b")
	faults := faultstore.New(inner)
	m := made(t, faults, files)
	faults.Add(faultstore.Fault{Op: objstore.OpDelete, Key: "run/small/00003", Err: objstore.ErrPermission})
	err := m.remove(t.Context())
	if n := stored(t, inner); n != 1 {
		t.Errorf("%d objects are left", n)
	}
	left, ok := errors.AsType[*LeftoverError](err)
	if !ok || left.Objects != 1 || !errors.Is(err, objstore.ErrPermission) {
		t.Fatalf("%v", err)
	}
	if want := "`aws s3 rm --recursive --endpoint-url memory s3://b/run/`"; !strings.Contains(err.Error(), want) {
		t.Errorf("no %s in %v", want, err)
	}
}

// A bucket that takes back its permission fails for one reason, not for as many as there are objects.
func TestRemoveKeepsFewCauses(t *testing.T) {
	faults := faultstore.New(memstore.New("b"))
	m := made(t, faults, 50)
	faults.Add(faultstore.Fault{Op: objstore.OpDelete, Err: objstore.ErrPermission})
	err := m.remove(t.Context())
	left, ok := errors.AsType[*LeftoverError](err)
	if !ok || left.Objects != 50 || strings.Count(err.Error(), objstore.ErrPermission.Error()) != causesShown {
		t.Errorf("%v", err)
	}
}

// A store that throttles is asked again, both for storing and for removing.
func TestMakerTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New("b")
		faults := faultstore.New(inner)
		for _, op := range []objstore.Op{objstore.OpPut, objstore.OpDelete} {
			faults.Add(faultstore.Fault{Op: op, Times: 3, Err: objstore.ErrThrottled})
		}
		m := made(t, faults, 10)
		if n := stored(t, inner); n != 10 {
			t.Errorf("%d objects are stored", n)
		}
		if err := m.remove(t.Context()); err != nil || stored(t, inner) != 0 {
			t.Errorf("%d objects are left: %v", stored(t, inner), err)
		}
	})
}

// A multipart upload that fails, in a part or at its completion, keeps no parts in the bucket: they would cost the user
// and show in no listing of objects.
func TestFailedUploadIsAborted(t *testing.T) {
	for _, op := range []objstore.Op{objstore.OpUploadPart, objstore.OpCompleteUpload} {
		t.Run(op.String(), func(t *testing.T) {
			inner := memstore.New("b")
			faults := faultstore.New(inner)
			faults.Add(faultstore.Fault{Op: op, Err: objstore.ErrQuota})
			if _, err := newMaker(faults, "run/").putLarge(t.Context(), largePath, partSize+1); !errors.Is(err, objstore.ErrQuota) {
				t.Errorf("%v", err)
			}
			for upload, err := range inner.ListUploads(t.Context(), "") {
				t.Errorf("left: %+v, %v", upload, err)
			}
		})
	}
}

// belated stores an object once more after it was deleted, as a store does that has had all of a PUT which was given
// up.
type belated struct {
	*memstore.Store
	once sync.Once
}

func (b *belated) Delete(ctx context.Context, key string) error {
	err := b.Store.Delete(ctx, key)
	b.once.Do(func() {
		_, again := b.Put(ctx, key, strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{})
		err = errors.Join(err, again)
	})
	return err
}

func TestRemoveFindsWhatCameLate(t *testing.T) {
	bucket := &belated{Store: memstore.New("bucket")}
	m := made(t, bucket, 5)
	m.made = append(m.made, m.made...) // as by workers that write one key again and again
	if err := m.remove(t.Context()); err != nil {
		t.Error(err)
	}
	if n := stored(t, bucket); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

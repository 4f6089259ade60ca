package upload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/upload/journal"
)

// TestMoveGoesOn: whoever does not wait any more does not end the moving.
func TestMoveGoesOn(t *testing.T) {
	r := newMoveRig(t, false)
	r.put(t, "a/1", "1")
	ctx, cancel := context.WithCancel(context.Background())
	r.bucket.Add(faultstore.Fault{Op: objstore.OpCopy, Before: func(context.Context) error {
		cancel()
		return nil
	}})
	if err := r.rename(ctx, r.bucket, "a/", "b/"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.running.Wait()
	r.want(t, "after", map[string]string{"b/1": "1"})
	if len(r.logs(t)) != 0 {
		t.Errorf("%d logs are left", len(r.logs(t)))
	}
}

// TestMoveCrashes: a mount that dies at any request of a rename, done or not, leaves what the next one finishes.
func TestMoveCrashes(t *testing.T) {
	for _, rename := range []bool{false, true} {
		for _, done := range []bool{false, true} {
			for step := 0; ; step++ {
				when := fmt.Sprintf("rename %v, request %d, done %v", rename, step, done)
				if !crashMoves(t, when, rename, step, done) {
					if step < 8 && !rename {
						t.Errorf("%s: a rename of so few requests tells nothing", when)
					}
					break
				}
			}
		}
	}
}

// crashMoves renames a directory up to a request, and has another mount finish it. It tells whether there was such a
// request.
func crashMoves(t *testing.T, when string, rename bool, step int, done bool) bool {
	t.Helper()
	r := newMoveRig(t, rename)
	r.maxCopy, r.copyPart = 6, 4
	r.put(t, "a/", "")
	r.put(t, "a/1", "one")
	r.putParts(t, "a/2", "tw", "o")
	r.putParts(t, "a/3", "three", "three", "three") // more than one copy takes
	before := r.contents(t)
	cut := faultstore.Fault{Skip: step, Before: func(context.Context) error { r.stop(); return nil }}
	lost := errors.New("the process is dead")
	if cut.Lost = lost; !done {
		cut.Lost, cut.Err = nil, lost
	}
	r.withRename(rename)
	hit := crashScript(r, cut, lost)
	err := r.rename(context.Background(), r.bucket, "a/", "b/")
	crashed := hit()
	if crashed == (err == nil) {
		t.Fatalf("%s: %v", when, err)
	}
	r.crash(t)
	r.withRename(rename)
	r.start(t)
	r.maxCopy, r.copyPart = 6, 4
	left, err := journal.Leftovers(r.root, func(journal.Owner) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	planned := false
	for _, dir := range left {
		if err := errors.Join(r.journal.TakeOver(dir), dir.Close()); err != nil {
			t.Error(err)
		}
	}
	for _, rec := range r.logs(t) {
		planned = planned || rec.Whole
		if _, err := r.resume(context.Background(), r.bucket, rec.ID, false, neverKnown); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	want := before
	if planned || !crashed {
		want = map[string]string{"b/": "", "b/1": "one", "b/2": "two", "b/3": "threethreethree"}
	}
	r.want(t, when, want)
	if n := r.uploads(t); n != 0 {
		t.Errorf("%s: %d uploads are left", when, n)
	}
	if again, err := journal.Leftovers(r.root, func(journal.Owner) bool { return true }); err != nil || len(again) != 0 {
		t.Errorf("%s: %d directories are left, %v", when, len(again), err)
	}
	return crashed
}

func neverKnown(string) bool { return false }

// crashScript has a request meet its fault and all later ones fail with lost. It returns whether the request came.
func crashScript(r *moveRig, cut faultstore.Fault, lost error) (hit func() bool) {
	var dead atomic.Bool
	before := cut.Before
	cut.Before = func(ctx context.Context) error {
		if dead.Swap(true) {
			return lost
		}
		return before(ctx)
	}
	r.bucket.Add(cut)
	return dead.Load
}

// A rename that the end of the mount meets while it is planned is not begun, and nothing is left of it for the next
// mount to carry out.
func TestMoveEndsWhilePlanned(t *testing.T) {
	r := newMoveRig(t, false)
	r.put(t, "a/f", "f")
	listing, ended := make(chan struct{}), make(chan struct{})
	r.bucket.Add(faultstore.Fault{Op: objstore.OpList, Times: 1, Before: func(ctx context.Context) error {
		close(listing)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return nil
		}
	}})
	renamed := make(chan error, 1)
	go func() { renamed <- r.rename(context.Background(), r.bucket, "a/", "b/") }()
	<-listing
	r.close()
	close(ended)
	if err := <-renamed; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, err := r.journal.Moves(); err != nil || len(left) > 0 {
		t.Errorf("left are %+v, %v", left, err)
	}
	if len(r.active) > 0 {
		t.Errorf("%v are being worked on", r.active)
	}
}

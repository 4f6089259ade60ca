package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/upload/journal"
)

// moveRig is a mover over a store that can be broken.
type moveRig struct {
	*mover
	root   string
	bucket *faultstore.Store
	inner  *memstore.Store

	carried sync.Map // what was said to have another key: from version to version
}

// newMoveRig makes one over a store that cannot rename, where rename is false.
func newMoveRig(t *testing.T, rename bool) *moveRig {
	t.Helper()
	r := &moveRig{root: t.TempDir(), inner: memstore.New("bucket")}
	r.bucket = faultstore.New(r.inner)
	r.withRename(rename)
	r.start(t)
	return r
}

func (r *moveRig) withRename(rename bool) {
	r.bucket.Clear()
	if !rename {
		r.bucket.Add(faultstore.Fault{Op: objstore.OpRename, Err: objstore.ErrUnsupported})
	}
}

// start takes a staging directory, as a mount does.
func (r *moveRig) start(t *testing.T) {
	t.Helper()
	dir, err := journal.Create(r.root, journal.Owner{Endpoint: "memory", Bucket: "bucket"})
	if err != nil {
		t.Fatal(err)
	}
	r.mover = newMover(Config{
		Journal: dir, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Renamed: func(from, to objstore.Version) { r.carried.Store(from, to) },
	})
	t.Cleanup(func() { r.close() })
}

// crash ends the mount with its log left as it is.
func (r *moveRig) crash(t *testing.T) {
	t.Helper()
	r.close()
	if err := r.journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// rename moves a directory.
func (r *moveRig) rename(ctx context.Context, b objstore.Bucket, from, to string) error {
	_, err := r.directory(ctx, ctx, b, from, to)
	return err
}

func (r *moveRig) put(t *testing.T, key, content string) objstore.Version {
	t.Helper()
	e, err := r.inner.Put(context.Background(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{
		ContentType: "text/x", Metadata: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(r.inner, e)
}

// putParts stores an object whose ETag is not that of its content.
func (r *moveRig) putParts(t *testing.T, key string, parts ...string) objstore.Version {
	t.Helper()
	ctx := context.Background()
	id, err := r.inner.CreateUpload(ctx, key, objstore.Attributes{Metadata: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	var sent []objstore.Part
	for i, p := range parts {
		one, err := r.inner.UploadPart(ctx, key, id, i+1, strings.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, one)
	}
	e, err := r.inner.CompleteUpload(ctx, key, id, sent, objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(r.inner, e)
}

// contents is every object of the store.
func (r *moveRig) contents(t *testing.T) map[string]string {
	t.Helper()
	ctx := context.Background()
	result := map[string]string{}
	for page, err := range r.inner.List(ctx, objstore.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			result[e.Key] = ""
			if e.Size == 0 {
				continue
			}
			body, err := r.inner.Open(ctx, objstore.VersionOf(r.inner, e), objstore.Range{Len: e.Size})
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(body)
			if err := errors.Join(err, body.Close()); err != nil {
				t.Fatal(err)
			}
			result[e.Key] = string(text)
		}
	}
	return result
}

func (r *moveRig) uploads(t *testing.T) int {
	t.Helper()
	n := 0
	for _, err := range r.inner.ListUploads(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// want compares the whole store.
func (r *moveRig) want(t *testing.T, when string, want map[string]string) {
	t.Helper()
	if got := r.contents(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: the store has %v, want %v", when, got, want)
	}
}

// logs is how many renames are in the journal of the mount.
func (r *moveRig) logs(t *testing.T) []journal.MovesRecord {
	t.Helper()
	records, err := r.journal.Moves()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

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

// TestMoveIsTold: whoever keeps bytes is told of the key, and the ETag, that they have now, and not where it is not sure that they are the same.
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

// crashMoves renames a directory up to a request, and has another mount finish it. It tells whether there was such a request.
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

// A rename that the end of the mount meets while it is planned is not begun, and nothing is left of it for the next mount to carry out.
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

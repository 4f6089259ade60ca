package probe_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/probe"
)

// left are the keys and uploads of a bucket.
func left(t *testing.T, b objstore.Bucket) (names []string) {
	t.Helper()
	for page, err := range b.List(context.Background(), objstore.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			names = append(names, e.Key)
		}
	}
	for u, err := range b.ListUploads(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, "upload of "+u.Key)
	}
	return names
}

// A store that can do everything is found to, and has nothing more in it afterwards.
func TestProbe(t *testing.T) {
	b := memstore.New("bucket")
	now := time.Now()
	r, err := probe.Run(t.Context(), b, now)
	if err != nil || len(r.Answers) != 10 || !r.At.Equal(now) || !strings.HasPrefix(r.Prefix, probe.Prefix) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, a := range r.Answers {
		if !a.Has || !r.Has(a.Name) {
			t.Errorf("%s: %s", a.Name, a.Detail)
		}
	}
	if got := left(t, b); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// careless ignores conditions, takes a rename for an empty PUT, and lists in an order of its own.
type careless struct{ *memstore.Store }

func (c careless) Put(ctx context.Context, key string, body io.ReadSeeker, size int64, _ objstore.Condition, attrs objstore.Attributes) (objstore.Entry, error) {
	return c.Store.Put(ctx, key, body, size, objstore.Condition{}, attrs)
}

func (c careless) Copy(ctx context.Context, key string, src objstore.Version, _ objstore.Condition) (objstore.Entry, error) {
	return c.Store.Copy(ctx, key, src, objstore.Condition{})
}

// CompleteUpload looks at one kind of condition only, as some stores do.
func (c careless) CompleteUpload(ctx context.Context, key, id string, parts []objstore.Part, cond objstore.Condition) (objstore.Entry, error) {
	return c.Store.CompleteUpload(ctx, key, id, parts, objstore.Condition{IfNew: cond.IfNew})
}

func (c careless) DeleteVersion(ctx context.Context, v objstore.Version) error {
	return c.Delete(ctx, v.Key)
}

func (c careless) Rename(ctx context.Context, key string, _ objstore.Version, _ objstore.Condition) error {
	_, err := c.Store.Put(ctx, key, strings.NewReader(""), 0, objstore.Condition{}, objstore.Attributes{})
	return err
}

// A store that says yes to what it ignores is found out.
func TestProbeCareless(t *testing.T) {
	b := careless{memstore.New("bucket")}
	r, err := probe.Run(t.Context(), b, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, has := range map[string]bool{
		probe.CreateOnly: false, probe.ReplaceOnly: false, probe.Rename: false, probe.DeleteOnly: false, probe.CompleteOnly: false, probe.CopyOnly: false, probe.CopyParts: true, probe.Ranges: true,
	} {
		if r.Has(name) != has {
			t.Errorf("%s: %v: %+v", name, !has, r)
		}
	}
	if got := left(t, b.Store); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// Powers that the store refuses are missing; one that cannot be written to cannot be probed; who gives up leaves
// nothing.
func TestProbeRefused(t *testing.T) {
	inner := memstore.New("bucket")
	b := faultstore.New(inner)
	b.Add(faultstore.Fault{Op: objstore.OpCopyPart, Err: objstore.ErrUnsupported}, faultstore.Fault{Op: objstore.OpRename, Err: objstore.ErrUnsupported})
	r, err := probe.Run(t.Context(), b, time.Now())
	if err != nil || r.Has(probe.CopyParts) || r.Has(probe.Rename) || !r.Has(probe.CreateOnly) {
		t.Errorf("%+v, %v", r, err)
	}
	denied := faultstore.New(memstore.New("bucket"))
	denied.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrPermission})
	if _, err := probe.Run(t.Context(), denied, time.Now()); !errors.Is(err, objstore.ErrPermission) {
		t.Errorf("without permission: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ending := faultstore.New(inner)
	ending.Add(faultstore.Fault{Op: objstore.OpCopyPart, Before: func(context.Context) error {
		cancel()
		return context.Canceled
	}})
	if _, err := probe.Run(ctx, ending, time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if got := left(t, inner); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

// What a store refuses for another reason than that it lacks a power says nothing of it.
func TestProbeUnknown(t *testing.T) {
	for _, c := range []struct {
		failed             objstore.Error
		unknown, forbidden bool
	}{
		{objstore.Error{Status: 503, Err: objstore.ErrThrottled}, true, false},
		{objstore.Error{Status: 500, Err: errors.New("InternalError")}, true, false},
		{objstore.Error{Err: objstore.ErrTimeout}, true, false},
		{objstore.Error{Status: 403, Err: objstore.ErrPermission}, true, true},
		{objstore.Error{Status: 501, Err: objstore.ErrUnsupported}, false, false},
		{objstore.Error{Status: 400, Err: objstore.ErrInvalid}, false, false},
	} {
		b := faultstore.New(memstore.New("bucket"))
		b.Add(faultstore.Fault{Op: objstore.OpCopyPart, Err: &c.failed})
		r, err := probe.Run(t.Context(), b, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range r.Answers {
			asked := a.Name == probe.CopyParts
			if a.Has == asked || a.Unknown != (asked && c.unknown) || a.Forbidden != (asked && c.forbidden) {
				t.Errorf("%v: %+v", &c.failed, a)
			}
		}
	}
}

// Whichever request the caller gives up at, or the answer of which is lost, nothing is left.
func TestProbeLeavesNothing(t *testing.T) {
	for name, lost := range map[string]error{"given up": nil, "lost": objstore.ErrTimeout} {
		for n := 0; ; n++ {
			inner := memstore.New("bucket")
			ctx, cancel := context.WithCancel(t.Context())
			b := faultstore.New(inner)
			b.Add(faultstore.Fault{Op: objstore.OpAny, Skip: n, Times: 1, Lost: lost, Before: func(context.Context) error {
				if lost == nil {
					cancel()
				}
				return nil
			}})
			_, err := probe.Run(ctx, b, time.Now())
			if got := left(t, inner); len(got) > 0 {
				t.Errorf("%s at request %d: %v; left: %q", name, n, err, got)
			}
			all := len(b.Calls())
			cancel()
			if n >= all {
				if n < 40 {
					t.Errorf("%d requests are no probe", n)
				}
				break
			}
		}
	}
}

// answerless begins an upload, and the caller gives up before it hears of it.
type answerless struct {
	*memstore.Store
	giveUp func()
}

func (a answerless) CreateUpload(ctx context.Context, key string, attrs objstore.Attributes) (string, error) {
	_, err := a.Store.CreateUpload(ctx, key, attrs)
	a.giveUp()
	return "", errors.Join(context.Canceled, err)
}

// An upload whose beginning nobody has heard of is no reason to leave it.
func TestProbeUploadWithoutAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := answerless{memstore.New("bucket"), cancel}
	if _, err := probe.Run(ctx, b, time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if got := left(t, b.Store); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

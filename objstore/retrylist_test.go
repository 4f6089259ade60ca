package objstore_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// names are all names of a listing, and the error it ended with.
func names(ctx context.Context, b objstore.Lister, opts objstore.ListOptions) (names []string, err error) {
	for page, err := range b.List(ctx, opts) {
		if err != nil {
			return names, err
		}
		for _, e := range page.Entries {
			names = append(names, e.Key)
		}
		names = append(names, page.Prefixes...)
	}
	slices.Sort(names)
	return names, nil
}

// A listing that breaks at any page goes on where it was, also right after a common prefix.
func TestRetryList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		for i := range 6 {
			put(t, r.faults, fmt.Sprintf("d/%d", 2*i), "")
			put(t, r.faults, fmt.Sprintf("d/%d/below", 2*i+1), "")
			put(t, r.faults, fmt.Sprintf("d/%d/below2", 2*i+1), "")
		}
		opts := objstore.ListOptions{Prefix: "d/", Delimiter: "/", PageSize: 2}
		want, err := names(t.Context(), r.faults, opts)
		if err != nil || len(want) != 12 {
			t.Fatal(want, err)
		}
		for broken := range 6 {
			r.faults.Clear()
			r.faults.Add(faultstore.Fault{Op: objstore.OpList, Skip: broken, Times: 2, Err: errServer})
			got, err := names(t.Context(), r.bucket, opts)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("broken at page %d: %q, %v; want %q", broken, got, err, want)
			}
			got, err = names(t.Context(), r.bucket, objstore.ListOptions{Prefix: "d/", StartAfter: "d/3", PageSize: 2})
			if err != nil || len(got) != 11 {
				t.Errorf("from the middle: %q, %v", got, err)
			}
		}
		if len(r.events) != 12 || r.events[0].Op != objstore.OpList || r.events[0].Key != "d/" {
			t.Errorf("%d retries, the first %+v; want 12 of the listing", len(r.events), r.events[0])
		}
	})
}

// A listing fails for good with an error that lasts, after the pages before it.
func TestRetryListFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for fault, want := range map[error]objstore.ErrorKind{
			objstore.ErrPermission: objstore.KindPermission, objstore.ErrThrottled: objstore.KindThrottled,
		} {
			r := newRetryTest(t, objstore.RetryPolicy{})
			for i := range 6 {
				put(t, r.faults, fmt.Sprintf("%d", i), "")
			}
			r.faults.Add(faultstore.Fault{Op: objstore.OpList, Skip: 1, Err: fault})
			got, err := names(t.Context(), r.bucket, objstore.ListOptions{PageSize: 2})
			if wantKind(t, err, want); len(got) != 2 {
				t.Errorf("%q before the failure, want two names", got)
			}
		}
	})
}

// disordered lists its pages in descending order.
type disordered struct{ objstore.Bucket }

func (d disordered) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		var pages []objstore.Page
		for page, err := range d.Bucket.List(ctx, opts) {
			if err != nil {
				yield(objstore.Page{}, err)
				return
			}
			page.Last = false
			pages = append(pages, page)
		}
		for _, page := range slices.Backward(pages) {
			if !yield(page, nil) {
				return
			}
		}
	}
}

// Where names come in no order, what is missing after a break cannot be known: the error is passed on.
func TestRetryListDisordered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		for i := range 6 {
			put(t, store, fmt.Sprintf("%d", i), "")
		}
		faults := faultstore.New(disordered{store})
		faults.Add(faultstore.Fault{Op: objstore.OpList, Skip: 2, Times: 1, Err: errServer})
		b := objstore.NewRetry(faults, objstore.RetryPolicy{})
		if got, err := names(t.Context(), b, objstore.ListOptions{PageSize: 2}); err == nil || len(got) != 4 {
			t.Errorf("%q, %v; want four names and the error", got, err)
		}
		if got, err := names(t.Context(), b, objstore.ListOptions{PageSize: 2}); err != nil || len(got) != 6 {
			t.Errorf("whole: %q, %v", got, err)
		}
	})
}

// breaking fails its listing of uploads once, after so many.
type breaking struct {
	objstore.Bucket
	after *int
}

func (b breaking) ListUploads(ctx context.Context, prefix string) iter.Seq2[objstore.Upload, error] {
	return func(yield func(objstore.Upload, error) bool) {
		for u, err := range b.Bucket.ListUploads(ctx, prefix) {
			if *b.after == 0 {
				*b.after = -1
				yield(objstore.Upload{}, errServer)
				return
			}
			*b.after--
			if !yield(u, err) {
				return
			}
		}
	}
}

// A listing of uploads that breaks yields each of them once.
func TestRetryListUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New("bucket")
		var want []string
		for range 5 {
			id, err := store.CreateUpload(t.Context(), "key", objstore.Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, id)
		}
		after := 3
		b := objstore.NewRetry(breaking{store, &after}, objstore.RetryPolicy{})
		var got []string
		for u, err := range b.ListUploads(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, u.ID)
		}
		if !slices.Equal(got, want) || after >= 0 {
			t.Errorf("uploads %q, want %q after one break", got, want)
		}
	})
}

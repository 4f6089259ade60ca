package objstore_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// retryTest is a store with faults under a retry whose jitter is the whole delay.
type retryTest struct {
	*testing.T
	store  *memstore.Store
	faults *faultstore.Store
	bucket objstore.Bucket
	events []objstore.RetryEvent
}

func newRetryTest(t *testing.T, policy objstore.RetryPolicy) *retryTest {
	store := memstore.New("bucket")
	r := &retryTest{T: t, store: store, faults: faultstore.New(store)}
	policy.Random = func() float64 { return 1 }
	policy.OnRetry = func(e objstore.RetryEvent) { r.events = append(r.events, e) }
	r.bucket = objstore.NewRetry(r.faults, policy)
	return r
}

// took checks how long f takes.
func (r *retryTest) took(want time.Duration, f func()) {
	r.Helper()
	begun := time.Now()
	f()
	if got := time.Since(begun); got != want {
		r.Errorf("took %v, want %v", got, want)
	}
}

var errServer = &objstore.Error{Status: 500, Err: errors.New("internal error")}

// Waits double up to the longest, and each is told of.
func TestRetryBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{FirstDelay: 100 * time.Millisecond, MaxDelay: 500 * time.Millisecond})
		put(t, r.bucket, "key", "content")
		r.faults.Add(faultstore.Fault{Op: objstore.OpStat, Times: 5, Err: errServer})
		r.took((100+200+400+500+500)*time.Millisecond, func() {
			if e, err := r.bucket.Stat(t.Context(), "key"); err != nil || e.Size != 7 {
				t.Error(e, err)
			}
		})
		if len(r.events) != 5 {
			t.Fatalf("told of %d retries, want 5", len(r.events))
		}
		if e := r.events[2]; e.Op != objstore.OpStat || e.Key != "key" || e.Attempt != 3 || e.Delay != 400*time.Millisecond || e.Err == nil {
			t.Errorf("third retry: %+v", e)
		}
	})
}

// Jitter draws each wait between half and all of it.
func TestRetryJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faultstore.New(memstore.New("bucket"))
		put(t, faults, "key", "content")
		faults.Add(faultstore.Fault{Op: objstore.OpStat, Times: 1, Err: errServer})
		begun := time.Now()
		b := objstore.NewRetry(faults, objstore.RetryPolicy{FirstDelay: time.Second, Random: func() float64 { return 0 }})
		if _, err := b.Stat(t.Context(), "key"); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited != 500*time.Millisecond {
			t.Errorf("waited %v, want half a second", waited)
		}
	})
}

// The store's Retry-After comes on top of the wait.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		put(t, r.bucket, "key", "content")
		r.faults.Add(faultstore.Fault{
			Op: objstore.OpOpen, Times: 1,
			Err: &objstore.Error{Status: 503, RetryAfter: 7 * time.Second, Err: objstore.ErrThrottled},
		})
		r.took(7*time.Second+50*time.Millisecond, func() { r.read("key", "content") })
	})
}

// read reads the whole of key through the retry and checks it.
func (r *retryTest) read(key, want string) {
	r.Helper()
	e, err := r.bucket.Stat(r.Context(), key)
	if err != nil {
		r.Fatal(err)
	}
	body, err := r.bucket.Open(r.Context(), objstore.VersionOf(r.bucket, e), objstore.Range{Len: e.Size})
	if err != nil {
		r.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != want {
		r.Errorf("%q reads as %q, %v; want %q", key, got, err, want)
	}
}

// When the budget is spent the last error is the answer, and no wait is begun that would end after it.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{Budget: 10 * time.Second, FirstDelay: time.Second, MaxDelay: 4 * time.Second})
		r.faults.Add(faultstore.Fault{Err: errServer})
		r.took((1+2+4)*time.Second, func() {
			_, err := r.bucket.Stat(t.Context(), "key")
			if e, ok := errors.AsType[*objstore.Error](err); !ok || e.Status != 500 {
				t.Errorf("error %v, want the store's", err)
			}
		})
		r.faults.Clear()
		r.faults.Add(faultstore.Fault{Err: &objstore.Error{RetryAfter: time.Hour, Err: objstore.ErrThrottled}})
		r.took(0, func() {
			_, err := r.bucket.Stat(t.Context(), "key")
			wantKind(t, err, objstore.KindThrottled)
		})
	})
}

// The budget is for trying: a request that waited for its turn longer than that is tried again all the same.
func TestRetryAfterAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{Budget: 10 * time.Second, FirstDelay: time.Second, MaxDelay: time.Second})
		put(t, r.bucket, "key", "content")
		r.faults.Add(faultstore.Fault{Op: objstore.OpStat, Times: 1, Before: func(context.Context) error {
			time.Sleep(time.Minute)
			return errServer
		}})
		if _, err := r.bucket.Stat(t.Context(), "key"); err != nil {
			t.Error(err)
		}
		attempts := 0
		err := objstore.RetryPolicy{Budget: 10 * time.Second}.Do(t.Context(), objstore.RetryEvent{}, func(context.Context) error {
			if attempts++; attempts > 1 {
				return nil
			}
			time.Sleep(time.Minute)
			return errServer
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// The end of the context ends a wait at once, with the context's error.
func TestRetryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{FirstDelay: 4 * time.Second})
		r.faults.Add(faultstore.Fault{Err: errServer})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.took(time.Second, func() {
			if _, err := r.bucket.Stat(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the context's", err)
			}
		})
	})
}

// Which errors another attempt may cure.
func TestRetryable(t *testing.T) {
	for _, c := range []struct {
		err      error
		attempts int // in all, within a budget for twelve
	}{
		{objstore.ErrNotExist, 1},
		{objstore.ErrNoBucket, 1},
		{objstore.ErrPermission, 1},
		{objstore.ErrCredentials, 1},
		{objstore.ErrClockSkew, 1},
		{objstore.ErrArchived, 1},
		{objstore.ErrChanged, 1},
		{objstore.ErrExists, 1},
		{objstore.ErrQuota, 1},
		{objstore.ErrInvalid, 1},
		{objstore.ErrUnsupported, 1},
		{&objstore.Error{Status: 418, Err: errors.New("refused")}, 1},
		{objstore.ErrCorrupt, 3},
		{objstore.ErrConflict, 12},
		{objstore.ErrThrottled, 12},
		{objstore.ErrTimeout, 12},
		{&objstore.Error{Status: 500, Err: errors.New("internal error")}, 12},
		{io.ErrUnexpectedEOF, 12},
		{errors.New("connection refused"), 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRetryTest(t, objstore.RetryPolicy{FirstDelay: time.Second, MaxDelay: time.Second, Budget: 11 * time.Second})
			r.faults.Add(faultstore.Fault{Err: c.err})
			if _, err := r.bucket.Stat(t.Context(), "key"); err == nil || r.faults.Count(objstore.OpStat) != c.attempts {
				t.Errorf("%v: %d attempts and then %v, want %d", c.err, r.faults.Count(objstore.OpStat), err, c.attempts)
			}
		})
	}
}

package objstore_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
)

const content = "0123456789abcdefghij"

// ranges are the ranges that were asked for.
func (r *retryTest) ranges() (asked []objstore.Range) {
	for _, c := range r.faults.Calls() {
		if c.Op == objstore.OpOpen {
			asked = append(asked, c.Range)
		}
	}
	return asked
}

// A body that breaks, ends early or stalls into a timeout is resumed from the byte it reached.
func TestResume(t *testing.T) {
	for name, cause := range map[string]error{
		"reset":     errors.New("connection reset"),
		"truncated": io.ErrUnexpectedEOF,
		"early EOF": io.EOF,
		"timeout":   objstore.ErrTimeout,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRetryTest(t, objstore.RetryPolicy{})
				v := put(t, r.bucket, "key", content)
				r.faults.Add(
					faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 3, Err: cause}},
					faultstore.Fault{Op: objstore.OpOpen, Times: 1, Err: objstore.ErrThrottled},
					faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 5, Err: cause}},
				)
				body, err := r.bucket.Open(t.Context(), v, objstore.Range{Off: 2, Len: 16})
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				if got, err := io.ReadAll(body); err != nil || string(got) != content[2:18] {
					t.Errorf("read %q, %v", got, err)
				}
				want := []objstore.Range{{Off: 2, Len: 16}, {Off: 5, Len: 13}, {Off: 5, Len: 13}, {Off: 10, Len: 8}}
				if got := r.ranges(); !slices.Equal(got, want) {
					t.Errorf("asked for %v, want %v", got, want)
				}
				if e := r.events[len(r.events)-1]; e.Reached != 8 || e.Attempt != 1 || e.Op != objstore.OpOpen {
					t.Errorf("last retry: %+v, want the first since 8 bytes", e)
				}
			})
		})
	}
}

// A resumption that broke leaves nothing behind while the request goes on: a body may be resumed many times.
func TestResumeLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		v := put(t, r.bucket, "key", content)
		var contexts []context.Context
		breaks := faultstore.Fault{Op: objstore.OpOpen, Times: 3, Body: faultstore.Body{After: 2, Err: errServer}}
		breaks.Before = func(ctx context.Context) error {
			contexts = append(contexts, ctx)
			return nil
		}
		r.faults.Add(breaks)
		body, err := r.bucket.Open(t.Context(), v, objstore.Range{Len: v.Size})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if got, err := io.ReadAll(body); err != nil || string(got) != content {
			t.Errorf("read %q, %v", got, err)
		}
		if len(contexts) != 3 {
			t.Fatalf("%d requests broke, want 3", len(contexts))
		}
		for _, ctx := range contexts[1:] { // the first has the request's own
			if ctx.Err() == nil {
				t.Error("the context of a resumption that broke lives on")
			}
		}
	})
}

// The version that a resumed body is of may be gone: then there is an error, never bytes of another.
func TestResumeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{})
		v := put(t, r.bucket, "key", content)
		r.faults.Add(faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 3, Err: io.ErrUnexpectedEOF}})
		body, err := r.bucket.Open(t.Context(), v, objstore.Range{Len: v.Size})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		put(t, r.bucket, "key", strings.ToUpper(content))
		got, err := io.ReadAll(body)
		if string(got) != content[:3] {
			t.Errorf("read %q", got)
		}
		wantKind(t, err, objstore.KindChanged)
		if _, err := body.Read(make([]byte, 1)); !errors.Is(err, objstore.ErrChanged) {
			t.Errorf("the error does not stay: %v", err)
		}
	})
}

// What is known to be wrong in bytes already delivered cannot be mended.
func TestResumeNotCorrupt(t *testing.T) {
	r := newRetryTest(t, objstore.RetryPolicy{})
	v := put(t, r.bucket, "key", content)
	r.faults.Add(faultstore.Fault{Op: objstore.OpOpen, Body: faultstore.Body{After: 3, Err: objstore.ErrCorrupt}})
	body, err := r.bucket.Open(t.Context(), v, objstore.Range{Len: v.Size})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	_, err = io.ReadAll(body)
	wantKind(t, err, objstore.KindCorrupt)
	if n := r.faults.Count(objstore.OpOpen); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A connection that breaks after the last byte has done its work.
func TestResumeAtTheEnd(t *testing.T) {
	r := newRetryTest(t, objstore.RetryPolicy{})
	put(t, r.bucket, "key", content)
	r.faults.Add(faultstore.Fault{Op: objstore.OpOpen, Body: faultstore.Body{After: int64(len(content)), Err: errServer}})
	r.read("key", content)
	if n := r.faults.Count(objstore.OpOpen); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// Without progress the budget ends the attempts; with progress it begins anew.
func TestResumeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetryTest(t, objstore.RetryPolicy{FirstDelay: time.Second, MaxDelay: time.Second, Budget: 2500 * time.Millisecond})
		put(t, r.bucket, "key", content)
		r.faults.Add(faultstore.Fault{Op: objstore.OpOpen, Body: faultstore.Body{After: 1, Err: errServer}})
		r.took(time.Duration(len(content)-1)*time.Second, func() { r.read("key", content) })

		r.faults.Clear()
		r.faults.Add(
			faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 5, Err: errServer}},
			faultstore.Fault{Op: objstore.OpOpen, Err: objstore.ErrTimeout},
		)
		v := put(t, r.bucket, "key", content)
		r.took(2*time.Second, func() {
			body, err := r.bucket.Open(t.Context(), v, objstore.Range{Len: v.Size})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if string(got) != content[:5] {
				t.Errorf("read %q", got)
			}
			wantKind(t, err, objstore.KindTimeout)
		})
	})
}

// Close and the context's end both end a Read that waits to resume, at once.
func TestResumeEnds(t *testing.T) {
	for name, end := range map[string]func(io.Closer, context.CancelFunc){
		"close":  func(body io.Closer, _ context.CancelFunc) { body.Close() },
		"cancel": func(_ io.Closer, cancel context.CancelFunc) { cancel() },
	} {
		for where, fault := range map[string]faultstore.Fault{
			"between attempts": {Op: objstore.OpOpen, Err: errServer},
			"in an attempt":    {Op: objstore.OpOpen, Before: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			"in a body":        {Op: objstore.OpOpen, Body: faultstore.Body{Stall: true}},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRetryTest(t, objstore.RetryPolicy{FirstDelay: time.Second})
					v := put(t, r.bucket, "key", content)
					r.faults.Add(faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 3, Err: errServer}}, fault)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					body, err := r.bucket.Open(ctx, v, objstore.Range{Len: v.Size})
					if err != nil {
						t.Fatal(err)
					}
					ended := make(chan error)
					go func() {
						_, err := io.ReadAll(body)
						ended <- err
					}()
					time.Sleep(1500 * time.Millisecond)
					r.took(0, func() {
						end(body, cancel)
						if err := <-ended; err == nil {
							t.Error("the read succeeded")
						} else if name == "cancel" {
							wantKind(t, err, objstore.KindCanceled)
						}
					})
					body.Close()
				})
			})
		}
	}
}

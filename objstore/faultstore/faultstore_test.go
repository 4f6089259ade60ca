package faultstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

const content = "0123456789"

// newStore is a store with one object, "key".
func newStore(t *testing.T, faults ...faultstore.Fault) (*faultstore.Store, objstore.Version) {
	t.Helper()
	s := faultstore.New(memstore.New("bucket"))
	e, err := s.Put(t.Context(), "key", bytes.NewReader([]byte(content)), 10, objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	s.Add(faults...)
	return s, objstore.VersionOf(s, e)
}

// Lines of the script take requests in order, by operation, key and number.
func TestScript(t *testing.T) {
	one, two, three := errors.New("one"), errors.New("two"), errors.New("three")
	s, _ := newStore(t,
		faultstore.Fault{Op: objstore.OpStat, Key: "other", Err: three},
		faultstore.Fault{Op: objstore.OpStat, Skip: 1, Times: 2, Err: one},
		faultstore.Fault{Op: objstore.OpStat, Times: 2, Err: two},
	)
	for i, want := range []error{two, one, one, two, nil} {
		if _, err := s.Stat(t.Context(), "key"); !errors.Is(err, want) {
			t.Errorf("request %d: %v, want %v", i, err, want)
		}
	}
	_, err := s.Stat(t.Context(), "other")
	if e, ok := errors.AsType[*objstore.Error](err); !ok || e.Key != "other" || e.Op != "HeadObject" || !errors.Is(err, three) {
		t.Errorf("%v, want an *objstore.Error about the key", err)
	}
	s.Clear()
	if _, err := s.Stat(t.Context(), "key"); err != nil {
		t.Error(err)
	}
}

// Requests are recorded as they came, with the class they had.
func TestCalls(t *testing.T) {
	s, v := newStore(t, faultstore.Fault{Op: objstore.OpOpen, Err: objstore.ErrTimeout})
	ctx := objstore.WithTicket(t.Context(), objstore.NewTicket(objstore.ClassPrefetch))
	if _, err := s.Open(ctx, v, objstore.Range{Off: 1, Len: 2}); !errors.Is(err, objstore.ErrTimeout) {
		t.Error(err)
	}
	for range s.List(t.Context(), objstore.ListOptions{Prefix: "k"}) {
		break
	}
	want := []faultstore.Call{
		{Op: objstore.OpPut, Key: "key", Class: objstore.ClassUpload},
		{Op: objstore.OpOpen, Key: "key", Range: objstore.Range{Off: 1, Len: 2}, Class: objstore.ClassPrefetch, Fault: true},
		{Op: objstore.OpList, Key: "k", Class: objstore.ClassMetadata},
	}
	if got := s.Calls(); !slices.Equal(got, want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
	if s.Count(objstore.OpOpen) != 1 || s.Count(objstore.OpAny) != 3 {
		t.Errorf("%d reads of %d requests", s.Count(objstore.OpOpen), s.Count(objstore.OpAny))
	}
}

// A lost answer is an error for something that was done.
func TestLost(t *testing.T) {
	s, _ := newStore(t, faultstore.Fault{Op: objstore.OpDelete, Lost: io.ErrUnexpectedEOF})
	if err := s.Delete(t.Context(), "key"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := s.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrNotExist) {
		t.Errorf("after a delete without an answer: %v", err)
	}
}

// A wrong ETag is told by HEAD and by LIST, and GET refuses.
func TestWrongETag(t *testing.T) {
	s, v := newStore(t, faultstore.Fault{ETag: "wrong"})
	e, err := s.Stat(t.Context(), "key")
	if err != nil || e.ETag != "wrong" {
		t.Errorf("HEAD tells %+v, %v", e, err)
	}
	for page, err := range s.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || page.Entries[0].ETag != "wrong" {
			t.Errorf("LIST tells %+v, %v", page, err)
		}
	}
	if _, err := s.Open(t.Context(), v, objstore.Range{Len: 10}); !errors.Is(err, objstore.ErrChanged) {
		t.Errorf("GET: %v", err)
	}
}

// Bodies break where they should, and how.
func TestBodies(t *testing.T) {
	held := errors.New("held")
	for name, c := range map[string]struct {
		body faultstore.Body
		want string
		err  error
	}{
		"none":      {faultstore.Body{}, content, nil},
		"reset":     {faultstore.Body{After: 3, Err: objstore.ErrTimeout}, content[:3], objstore.ErrTimeout},
		"truncated": {faultstore.Body{After: 3, Err: io.ErrUnexpectedEOF}, content[:3], io.ErrUnexpectedEOF},
		"flipped":   {faultstore.Body{After: 3, Flip: true}, "0122456789", nil},
		"held":      {faultstore.Body{After: 3, Hold: func(context.Context) error { return held }}, content[:3], held},
	} {
		t.Run(name, func(t *testing.T) {
			s, v := newStore(t, faultstore.Fault{Op: objstore.OpOpen, Body: c.body})
			body, err := s.Open(t.Context(), v, objstore.Range{Len: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

// A stalled body waits for the end of its context or for its close, as long as it takes.
func TestStall(t *testing.T) {
	for name, end := range map[string]func(io.Closer, context.CancelFunc){
		"cancel": func(_ io.Closer, cancel context.CancelFunc) { cancel() },
		"close":  func(body io.Closer, _ context.CancelFunc) { body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, v := newStore(t, faultstore.Fault{Op: objstore.OpOpen, Body: faultstore.Body{After: 3, Stall: true}})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				body, err := s.Open(ctx, v, objstore.Range{Len: 10})
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Hour, func() { end(body, cancel) })
				begun := time.Now()
				if got, err := io.ReadAll(body); string(got) != content[:3] || err == nil {
					t.Errorf("%q, %v; want three bytes and an error", got, err)
				}
				if waited := time.Since(begun); waited != time.Hour {
					t.Errorf("ended after %v", waited)
				}
				body.Close()
			})
		})
	}
}

// A fault may hold a request for as long as the test likes.
func TestBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, _ := newStore(t, faultstore.Fault{Op: objstore.OpStat, Before: func(context.Context) error { <-release; return nil }})
		done := make(chan error, 1)
		go func() {
			_, err := s.Stat(t.Context(), "key")
			done <- err
		}()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("the request was not held")
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

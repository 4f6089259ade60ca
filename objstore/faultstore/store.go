// Package faultstore breaks a store on purpose, by a script.
//
// A [Store] decorates a bucket and passes every request on, except where a [Fault] says otherwise: fail it, hold it
// back, lose its answer, cut or stall or spoil its body, tell a wrong ETag. The lines of the script are tried in order,
// and the first that applies takes the request: it does not count for the lines after it. So two faults of one
// operation, each for one request, break the first and the second. All requests are recorded.
//
// Time is left to the caller: a fault holds a request by a function of the test's, which may wait for a channel or
// sleep in a synctest bubble.
//
// Its parts: the script and the record (store.go), the requests that pass by them (requests.go), broken bodies
// (body.go).
package faultstore

import (
	"context"
	"slices"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// Fault is one line of a script. Its first fields say which requests it applies to, the others what happens to them, in
// the order of the fields; the zero values of those let the request pass.
type Fault struct {
	Op   objstore.Op // OpAny for all
	Key  string      // "" for all; of a listing, its prefix
	Skip int         // let so many of the requests that come to this line pass first
	// Times is how many of the requests after those it applies to; 0 for all.
	Times int

	// Before is called before the request is made; an error it returns is the answer. It gets the request's context, and
	// may wait as long as it likes.
	Before func(ctx context.Context) error
	// Err is the answer, without the store being asked: a sentinel, or an *objstore.Error with status and Retry-After.
	Err error
	// Lost lets the store do what is asked and then answers with this error. Not for listings.
	Lost error

	// ETag takes the place of the true one in what Stat, List and the writes tell; Open then fails with ErrChanged.
	ETag string
	// Body says what happens to the body of an Open.
	Body Body
}

// Body breaks the body of an Open after After bytes, in one of these ways. The zero value breaks nothing.
type Body struct {
	After int64 // counted from the beginning of the answer

	Err   error // the read fails with it, e.g. io.ErrUnexpectedEOF for a truncated body
	Stall bool  // the read waits until the request's context ends or the body is closed
	Flip  bool  // one bit of the next byte is wrong; the rest is right
	// Hold is called once before the byte is read, and may wait.
	Hold func(ctx context.Context) error
}

// Call is a request as it arrived.
type Call struct {
	Op    objstore.Op
	Key   string         // of a listing, its prefix
	Range objstore.Range // of an Open or CopyPart
	Class objstore.Class // when it arrived
	Fault bool           // one applied
}

// Store is a bucket with a script.
type Store struct {
	inner objstore.Bucket

	mu     sync.Mutex // guards the fields below
	script []*line
	calls  []Call
}

// line is a fault and how many requests of its operation and key have come to it.
type line struct {
	Fault
	seen int
}

// New makes a store that passes everything on to inner.
func New(inner objstore.Bucket) *Store { return &Store{inner: inner} }

// Add adds faults at the end of the script.
func (s *Store) Add(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.script = append(s.script, &line{Fault: f})
	}
}

// Clear empties the script. Requests that are being broken stay broken.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = nil
}

// Calls are the requests so far, in the order they arrived.
func (s *Store) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how many requests of op have arrived; OpAny for all.
func (s *Store) Count(op objstore.Op) int {
	n := 0
	for _, c := range s.Calls() {
		if op == objstore.OpAny || c.Op == op {
			n++
		}
	}
	return n
}

// arrive records a request and finds what happens to it.
func (s *Store) arrive(ctx context.Context, op objstore.Op, key string, r objstore.Range) Fault {
	class := objstore.TicketFrom(ctx, op.Class()).Class()
	s.mu.Lock()
	defer s.mu.Unlock()
	found := Fault{}
	hit := false
	for _, l := range s.script {
		if l.Op != objstore.OpAny && l.Op != op || l.Key != "" && l.Key != key {
			continue
		}
		l.seen++
		if nth := l.seen - l.Skip; nth > 0 && (l.Times == 0 || nth <= l.Times) {
			found, hit = l.Fault, true
			break
		}
	}
	s.calls = append(s.calls, Call{Op: op, Key: key, Range: r, Class: class, Fault: hit})
	return found
}

// refuse is the answer that the fault gives without asking the store, nil for none.
func (s *Store) refuse(ctx context.Context, f Fault, op objstore.Op, key string) error {
	if f.Before != nil {
		if err := f.Before(ctx); err != nil {
			return s.wrap(err, op, key)
		}
	}
	return s.wrap(f.Err, op, key)
}

// wrap makes err what a store answers: an *objstore.Error, unless it is one or is the context's.
func (s *Store) wrap(err error, op objstore.Op, key string) error {
	switch {
	case err == nil, err == context.Canceled, err == context.DeadlineExceeded:
		return err
	}
	if e, ok := err.(*objstore.Error); ok {
		filled := *e
		filled.Op, filled.Bucket, filled.Key = op.String(), s.inner.Name(), key
		return &filled
	}
	return &objstore.Error{Op: op.String(), Bucket: s.inner.Name(), Key: key, Err: err}
}

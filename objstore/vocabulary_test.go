package objstore_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

func TestRange(t *testing.T) {
	r := objstore.Range{Off: 10, Len: 10}
	for _, c := range []struct {
		other              objstore.Range
		contains, overlaps bool
		shared             objstore.Range
	}{
		{objstore.Range{Off: 10, Len: 10}, true, true, r},
		{objstore.Range{Off: 12, Len: 3}, true, true, objstore.Range{Off: 12, Len: 3}},
		{objstore.Range{Off: 0, Len: 10}, false, false, objstore.Range{Off: 10}},
		{objstore.Range{Off: 20, Len: 5}, false, false, objstore.Range{Off: 20}},
		{objstore.Range{Off: 5, Len: 6}, false, true, objstore.Range{Off: 10, Len: 1}},
		{objstore.Range{Off: 0, Len: 100}, false, true, r},
	} {
		if got := r.Contains(c.other); got != c.contains {
			t.Errorf("%v contains %v: %t", r, c.other, got)
		}
		if got := r.Overlaps(c.other); got != c.overlaps {
			t.Errorf("%v overlaps %v: %t", r, c.other, got)
		}
		if got := r.Intersect(c.other); got != c.shared || got.Empty() == c.overlaps {
			t.Errorf("%v and %v share %v, want %v", r, c.other, got, c.shared)
		}
	}
}

// The finer sentinels match the broader one, and not the other way round.
func TestErrorIs(t *testing.T) {
	for fine, broad := range map[error]error{
		objstore.ErrNoBucket:    objstore.ErrNotExist,
		objstore.ErrCredentials: objstore.ErrPermission,
		objstore.ErrClockSkew:   objstore.ErrPermission,
		objstore.ErrArchived:    objstore.ErrPermission,
		objstore.ErrKeyNeeded:   objstore.ErrPermission,
	} {
		err := &objstore.Error{Op: "HeadObject", Bucket: "bucket", Key: "key", Err: fine}
		if !errors.Is(err, fine) || !errors.Is(err, broad) {
			t.Errorf("%v is %t itself and %t %v", err, errors.Is(err, fine), errors.Is(err, broad), broad)
		}
		if errors.Is(&objstore.Error{Err: broad}, fine) {
			t.Errorf("%v matches %v", broad, fine)
		}
	}
	err := &objstore.Error{
		Op: "GetObject", Bucket: "b", Key: "k", Status: 503, Code: "SlowDown", RequestID: "R1", Err: objstore.ErrThrottled,
	}
	if got, want := err.Error(), "GetObject s3://b/k: throttled (status 503 SlowDown, request R1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A ticket's class only rises, and one function hears of it.
func TestTicket(t *testing.T) {
	ticket := objstore.NewTicket(objstore.ClassPrefetch)
	var heard []objstore.Class
	ticket.OnRaise(func(c objstore.Class) { heard = append(heard, c) })
	ticket.Raise(objstore.ClassWarm)
	ticket.Raise(objstore.ClassDemand)
	ticket.Raise(objstore.ClassDemand)
	ticket.OnRaise(nil)
	ticket.Raise(objstore.ClassMetadata)
	if !slices.Equal(heard, []objstore.Class{objstore.ClassDemand}) || ticket.Class() != objstore.ClassMetadata {
		t.Errorf("heard %v, is %v", heard, ticket.Class())
	}
	if got := objstore.TicketFrom(objstore.WithTicket(t.Context(), ticket), objstore.ClassWarm); got != ticket {
		t.Error("the context's ticket is another")
	}
	if got := objstore.TicketFrom(t.Context(), objstore.ClassWarm).Class(); got != objstore.ClassWarm {
		t.Errorf("without a ticket: %v", got)
	}
}

// Every operation has a name of its own.
func TestOps(t *testing.T) {
	seen := make(map[string]bool)
	for op := range objstore.Op(objstore.NumOps) {
		if name := op.String(); seen[name] || strings.Contains(name, "Op(") {
			t.Errorf("operation %d is named %q", int(op), name)
		}
		seen[op.String()] = true
	}
}

// The router sends a version to the bucket it names, and to no other of that name.
func TestRouter(t *testing.T) {
	router := objstore.NewRouter()
	one, two := memstore.New("one"), memstore.New("two")
	v1, v2 := put(t, one, "key", "first"), put(t, two, "key", "second")
	router.Add(one)
	router.Add(two)
	for v, want := range map[objstore.Version]string{v1: "first", v2: "second"} {
		body, err := router.Open(t.Context(), v, objstore.Range{Len: v.Size})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != want {
			t.Errorf("%v reads as %q, %v", v, got, err)
		}
		body.Close()
	}
	elsewhere := v1
	elsewhere.Endpoint = "another store"
	_, err := router.Open(t.Context(), elsewhere, objstore.Range{Len: 1})
	wantKind(t, err, objstore.KindNoBucket)
}

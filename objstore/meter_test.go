package objstore_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// row finds what a meter has counted of an operation and class.
func row(t *testing.T, m *objstore.Meter, op objstore.Op, c objstore.Class) objstore.OpStats {
	t.Helper()
	for _, s := range m.Stats().Ops {
		if s.Op == op && s.Class == c {
			return s
		}
	}
	return objstore.OpStats{}
}

// Requests, errors, bytes and times are counted by operation and class.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faultstore.New(memstore.New("bucket"))
		m := objstore.NewMeter()
		b := m.Wrap(faults)
		v := put(t, b, "key", content)
		faults.Add(
			faultstore.Fault{Op: objstore.OpStat, Times: 2, Err: objstore.ErrThrottled},
			faultstore.Fault{Op: objstore.OpStat, Before: func(context.Context) error { time.Sleep(time.Second); return nil }},
			faultstore.Fault{Op: objstore.OpOpen, Skip: 1, Times: 1, Body: faultstore.Body{After: 4, Err: objstore.ErrTimeout}},
			faultstore.Fault{Op: objstore.OpOpen, Skip: 1, Times: 1, Err: errServer},
		)
		for range 3 {
			b.Stat(t.Context(), "key")
		}
		prefetch := of(t.Context(), objstore.ClassPrefetch)
		first, err := b.Open(prefetch, v, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		if s := row(t, m, objstore.OpOpen, objstore.ClassPrefetch); s.InFlight != 1 || s.Requests != 1 {
			t.Errorf("with a body open: %+v", s)
		}
		io.Copy(io.Discard, first)
		first.Close()
		second, err := b.Open(prefetch, v, objstore.Range{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, second)
		second.Close()
		if _, err := b.Open(prefetch, v, objstore.Range{Len: 10}); err == nil {
			t.Error("no error")
		}

		if s := row(t, m, objstore.OpPut, objstore.ClassUpload); s.Requests != 1 || s.Sent != uint64(len(content)) {
			t.Errorf("writes: %+v", s)
		}
		s := row(t, m, objstore.OpStat, objstore.ClassMetadata)
		if s.Requests != 3 || s.Errors[objstore.KindThrottled] != 2 || s.Failed() != 2 || s.FirstByte.Count != 1 || s.FirstByte.Sum != time.Second {
			t.Errorf("stats: %+v", s)
		}
		s = row(t, m, objstore.OpOpen, objstore.ClassPrefetch)
		if s.Requests != 3 || s.InFlight != 0 || s.Received != 14 || s.FirstByte.Count != 2 ||
			s.Errors[objstore.KindTimeout] != 1 || s.Errors[objstore.KindTransport] != 1 || s.Failed() != 2 {
			t.Errorf("reads: %+v", s)
		}
		if got := m.Stats().Requests(objstore.OpOpen); got != 3 {
			t.Errorf("%d reads in all, want 3", got)
		}
	})
}

// A page of a listing is a request, and the caller's time with it is not the store's.
func TestMeterList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faultstore.New(memstore.New("bucket"))
		for _, key := range []string{"a", "b", "c"} {
			put(t, faults, key, "")
		}
		faults.Add(faultstore.Fault{Op: objstore.OpList, Before: func(context.Context) error { time.Sleep(time.Second); return nil }})
		m := objstore.NewMeter()
		for range m.Wrap(faults).List(t.Context(), objstore.ListOptions{PageSize: 2}) {
			time.Sleep(time.Minute)
		}
		if s := row(t, m, objstore.OpList, objstore.ClassMetadata); s.Requests != 2 || s.FirstByte.Sum != 2*time.Second || s.InFlight != 0 {
			t.Errorf("two pages: %+v", s)
		}
	})
}

// Reads are told apart by how they lie in their object.
func TestMeterShapes(t *testing.T) {
	const chunk = objstore.ChunkSize
	large, small := int64(3*chunk+5), int64(1000)
	for _, c := range []struct {
		size int64
		r    objstore.Range
		want objstore.GetShape
	}{
		{small, objstore.Range{Len: small}, objstore.GetWhole},
		{chunk, objstore.Range{Len: chunk}, objstore.GetWhole},
		{small, objstore.Range{Off: 1, Len: small - 1}, objstore.GetPart},
		{large, objstore.Range{Len: chunk}, objstore.GetChunk},
		{large, objstore.Range{Off: 2 * chunk, Len: chunk}, objstore.GetChunk},
		{large, objstore.Range{Off: 3 * chunk, Len: 5}, objstore.GetChunk},
		{large, objstore.Range{Off: 3 * chunk, Len: 4}, objstore.GetPart},
		{large, objstore.Range{Off: chunk, Len: 1 << 20}, objstore.GetPart},
		{large, objstore.Range{Off: 4096, Len: chunk - 4096}, objstore.GetPart},
		{large, objstore.Range{Off: 4096, Len: chunk}, objstore.GetMore},
		{large, objstore.Range{Len: chunk + 1}, objstore.GetMore},
		{large, objstore.Range{Len: large}, objstore.GetMore},
	} {
		m := objstore.NewMeter()
		m.Wrap(memstore.New("bucket")).Open(t.Context(), objstore.Version{Key: "key", Size: c.size}, c.r)
		for shape, n := range m.Stats().Gets {
			if (n == 1) != (objstore.GetShape(shape) == c.want) {
				t.Errorf("%v of %d bytes: counted %d times as %v, want once as %v", c.r, c.size, n, objstore.GetShape(shape), c.want)
			}
		}
	}
}

// Times fall into buckets that double.
func TestLatencyBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faultstore.New(memstore.New("bucket"))
		put(t, faults, "key", "")
		var takes time.Duration
		faults.Add(faultstore.Fault{Op: objstore.OpStat, Before: func(context.Context) error { time.Sleep(takes); return nil }})
		for _, c := range []struct {
			takes, bound time.Duration
		}{
			{0, 100 * time.Microsecond},
			{100 * time.Microsecond, 100 * time.Microsecond},
			{101 * time.Microsecond, 200 * time.Microsecond},
			{20 * time.Millisecond, 25600 * time.Microsecond},
			{time.Hour, 0},
		} {
			m := objstore.NewMeter()
			takes = c.takes
			m.Wrap(faults).Stat(t.Context(), "key")
			for i, n := range row(t, m, objstore.OpStat, objstore.ClassMetadata).FirstByte.Buckets {
				if n == 1 && objstore.LatencyBound(i) != c.bound {
					t.Errorf("%v is in the bucket up to %v, want %v", c.takes, objstore.LatencyBound(i), c.bound)
				}
			}
		}
	})
}

// Every sentinel has a kind of its own; what is none is the transport's.
func TestErrorKinds(t *testing.T) {
	seen := make(map[string]error)
	for _, err := range []error{
		nil, objstore.ErrNotExist, objstore.ErrNoBucket, objstore.ErrPermission, objstore.ErrCredentials, objstore.ErrClockSkew,
		objstore.ErrArchived, objstore.ErrKeyNeeded, objstore.ErrChanged, objstore.ErrExists, objstore.ErrConflict, objstore.ErrThrottled, objstore.ErrTimeout,
		objstore.ErrQuota, objstore.ErrInvalid, objstore.ErrUnsupported, objstore.ErrCorrupt, context.Canceled, errors.New("reset"),
	} {
		wrapped := err
		if err != nil {
			wrapped = &objstore.Error{Op: "GetObject", Err: err}
		}
		name := objstore.KindOf(wrapped).String()
		if other, twice := seen[name]; twice || strings.ContainsAny(name, " %") {
			t.Errorf("%v and %v are both %q", err, other, name)
		}
		seen[name] = err
	}
	if len(seen) != objstore.NumErrorKinds {
		t.Errorf("%d kinds of %d occur", len(seen), objstore.NumErrorKinds)
	}
}

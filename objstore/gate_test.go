package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// gateTest lets requests of chosen classes pile up at a gate, whose store answers when it is told to.
type gateTest struct {
	*testing.T
	gate    *objstore.Gate
	bucket  objstore.Bucket
	version objstore.Version

	mu      sync.Mutex // guards started
	started []string   // names of requests, in the order they got through
	bodies  map[string]io.Closer
	all     sync.WaitGroup
}

func newGateTest(t *testing.T, cfg objstore.GateConfig) *gateTest {
	t.Helper()
	store := memstore.New("bucket")
	g := &gateTest{T: t, gate: objstore.NewGate(cfg), version: put(t, store, "key", "content"), bodies: make(map[string]io.Closer)}
	g.bucket = g.gate.Wrap(store)
	return g
}

// open begins a read named name and returns once it is at rest: got through, or in the queue.
func (g *gateTest) open(ctx context.Context, name string) {
	g.all.Go(func() {
		body, err := g.bucket.Open(ctx, g.version, objstore.Range{Len: 1})
		g.mu.Lock()
		defer g.mu.Unlock()
		if err != nil {
			g.started = append(g.started, name+"!") // the only error here is that of an ended context
			return
		}
		g.started = append(g.started, name)
		g.bodies[name] = body
	})
	g.settle()
}

// close ends a read that got through.
func (g *gateTest) close(name string) {
	g.Helper()
	g.mu.Lock()
	body := g.bodies[name]
	g.mu.Unlock()
	if body == nil {
		g.Fatalf("%s has not got through", name)
	}
	body.Close()
	g.settle()
}

func (g *gateTest) settle() {
	g.Helper()
	synctest.Wait()
	if err := g.gate.Check(); err != nil {
		g.Error(err)
	}
}

// want checks which reads got through since the last time, in order.
func (g *gateTest) want(names string) {
	g.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if want := strings.Fields(names); !slices.Equal(g.started, want) {
		g.Errorf("%q got through, want %q", g.started, want)
	}
	g.started = nil
}

func of(ctx context.Context, c objstore.Class) context.Context {
	return objstore.WithTicket(ctx, objstore.NewTicket(c))
}

func put(t *testing.T, b objstore.Bucket, key, content string) objstore.Version {
	t.Helper()
	e, err := b.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	return objstore.VersionOf(b, e)
}

// Free slots go to the most urgent class, and within it to who came first.
func TestGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{Start: 2, Max: 2})
		g.open(of(t.Context(), objstore.ClassDemand), "d1")
		g.open(of(t.Context(), objstore.ClassDemand), "d2")
		g.want("d1 d2")
		g.open(of(t.Context(), objstore.ClassWarm), "w1")
		g.open(of(t.Context(), objstore.ClassPrefetch), "p1")
		g.open(of(t.Context(), objstore.ClassUpload), "u1")
		g.open(of(t.Context(), objstore.ClassDemand), "d3")
		g.open(of(t.Context(), objstore.ClassDemand), "d4")
		g.open(of(t.Context(), objstore.ClassMetadata), "m1")
		g.want("")
		for _, step := range []struct{ ends, starts string }{
			{"d1", "m1"},
			{"m1", "d3"},
			{"d2", "d4"},
			{"d3", ""}, // upload and below keep off the last slot
			{"d4", "u1"},
			{"u1", "p1"},
			{"p1", "w1"},
			{"w1", ""},
		} {
			g.close(step.ends)
			g.want(step.starts)
		}
		g.all.Wait()
	})
}

// Prefetch leaves slots for those that somebody waits for.
func TestGateReservesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{Start: 16, Max: 16})
		for i := range 20 {
			g.open(of(t.Context(), objstore.ClassPrefetch), fmt.Sprintf("p%d", i))
		}
		if in := g.gate.Stats().InUse; in != 14 {
			t.Errorf("prefetch uses %d slots, want 14 of 16", in)
		}
		g.started = nil
		g.open(t.Context(), "d1")
		g.open(t.Context(), "d2")
		g.open(t.Context(), "d3")
		g.want("d1 d2")
		g.close("p0") // prefetch waits longer, yet the demand read is first
		g.want("d3")
		for _, name := range []string{"d1", "d2", "d3"} {
			g.close(name)
		}
		for i := 1; i < 20; i++ {
			g.close(fmt.Sprintf("p%d", i))
		}
		g.all.Wait()
		if s := g.gate.Stats(); s.InUse != 0 || s.Classes[objstore.ClassPrefetch].Started != 20 || s.Classes[objstore.ClassPrefetch].Queued != 6 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// A prefetch that a reader has caught up with goes to the demand queue, whether it was raised while it waited or
// before.
func TestGateRaise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{Start: 1, Max: 1})
		g.open(t.Context(), "d1")
		ticket := objstore.NewTicket(objstore.ClassPrefetch)
		g.open(of(t.Context(), objstore.ClassPrefetch), "p1")
		g.open(objstore.WithTicket(t.Context(), ticket), "p2")
		g.open(of(t.Context(), objstore.ClassUpload), "u1")
		ticket.Raise(objstore.ClassDemand)
		g.settle()
		if c := g.gate.Stats().Classes; c[objstore.ClassDemand].Waiting != 1 || c[objstore.ClassPrefetch].Waiting != 1 {
			t.Errorf("queues after the raise: %+v", c)
		}
		g.want("d1")
		for _, step := range []struct{ ends, starts string }{{"d1", "p2"}, {"p2", "u1"}, {"u1", "p1"}, {"p1", ""}} {
			ticket.Raise(objstore.ClassMetadata) // of a request that is through: nothing happens
			g.close(step.ends)
			g.want(step.starts)
		}
		g.all.Wait()
	})
}

// A raised request may start at once on the slots that were kept from its old class.
func TestGateRaiseUsesReservedSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{Start: 2, Max: 2})
		ticket := objstore.NewTicket(objstore.ClassPrefetch)
		g.open(of(t.Context(), objstore.ClassPrefetch), "p1")
		g.open(objstore.WithTicket(t.Context(), ticket), "p2")
		g.want("p1")
		ticket.Raise(objstore.ClassDemand)
		g.settle()
		g.want("p2")
		g.close("p1")
		g.close("p2")
		g.all.Wait()
	})
}

// Who stops waiting leaves the queue; a slot that comes at that moment goes to the next.
func TestGateCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{Start: 1, Max: 1})
		g.open(t.Context(), "d1")
		ctx, cancel := context.WithCancel(t.Context())
		g.open(ctx, "d2")
		g.open(t.Context(), "d3")
		cancel()
		g.settle()
		g.want("d1 d2!")
		g.close("d1")
		g.want("d3")
		ctx, cancel = context.WithCancel(t.Context())
		g.open(ctx, "d4")
		g.open(t.Context(), "d5")
		g.mu.Lock()
		d3 := g.bodies["d3"]
		g.mu.Unlock()
		d3.Close() // gives d4 the slot; which of the two it sees first is open
		cancel()
		g.settle()
		if slices.Contains(g.started, "d4") {
			g.close("d4")
		}
		g.close("d5")
		g.all.Wait()
		if in := g.gate.Stats().InUse; in != 0 {
			t.Errorf("%d slots in use after all have ended", in)
		}
	})
}

// A slot is held until the body has been read or closed, or the request has failed; not while a caller looks at a page.
func TestGateHoldsSlots(t *testing.T) {
	store := faultstore.New(memstore.New("bucket"))
	gate := objstore.NewGate(objstore.GateConfig{})
	b := gate.Wrap(store)
	holds := func(when string, want int) {
		t.Helper()
		if got := gate.Stats().InUse; got != want {
			t.Errorf("%s: %d slots in use, want %d", when, got, want)
		}
	}
	v := put(t, b, "key", "content")
	holds("after a write", 0)
	body, err := b.Open(t.Context(), v, objstore.Range{Len: 7})
	if err != nil {
		t.Fatal(err)
	}
	holds("with a body", 1)
	io.Copy(io.Discard, body)
	holds("after its end", 0)
	body.Close()
	holds("after its close", 0)
	store.Add(faultstore.Fault{Op: objstore.OpOpen, Err: objstore.ErrTimeout})
	if _, err := b.Open(t.Context(), v, objstore.Range{Len: 7}); !errors.Is(err, objstore.ErrTimeout) {
		t.Error(err)
	}
	holds("after a failure", 0)
	put(t, b, "second", "")
	seen := 0
	for page, err := range b.List(t.Context(), objstore.ListOptions{PageSize: 1}) {
		if err != nil || len(page.Entries) != 1 {
			t.Error(page, err)
		}
		seen++
		holds("between two pages", 0)
	}
	if holds("after a listing", 0); seen != 2 {
		t.Errorf("%d pages, want 2", seen)
	}
}

// A listing of uploads takes a slot for each request, not for each upload, and holds none while a caller looks at one.
func TestGateListsUploads(t *testing.T) {
	const uploads = 2500 // three requests
	store := faultstore.New(memstore.New("bucket"))
	for range uploads {
		if _, err := store.CreateUpload(t.Context(), "key", objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	gate := objstore.NewGate(objstore.GateConfig{})
	b := gate.Wrap(store)
	seen := 0
	for _, err := range b.ListUploads(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; gate.Stats().InUse != 0 {
			t.Fatal("a slot is held between two uploads")
		}
	}
	if started := gate.Stats().Classes[objstore.OpListUploads.Class()].Started; seen != uploads || started != 3 {
		t.Errorf("%d uploads with %d slots, want %d with 3", seen, started, uploads)
	}
	store.Add(faultstore.Fault{Op: objstore.OpListUploads, Err: objstore.ErrThrottled})
	for _, err := range b.ListUploads(t.Context(), "") {
		if !errors.Is(err, objstore.ErrThrottled) {
			t.Error(err)
		}
	}
	if s := gate.Stats(); s.InUse != 0 || s.Throttled != 1 {
		t.Errorf("after a failure: %+v", s)
	}
}

package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A burst of 503, 429 or 500 answers is waited out, and the reader notices nothing but time.
func TestThrottling(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("dir/object", 1, 5*chunk+1)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--metadata-ttl", "0s")
	bursts := []*fault{
		p.inject(&fault{operation: "HEAD", times: 3, act: answer(http.StatusServiceUnavailable, "")}), // HEAD has no body
		p.inject(&fault{operation: "LIST", times: 3, act: answer(http.StatusServiceUnavailable, "SlowDown")}),
		p.inject(&fault{operation: "GET", times: 6, act: answer(http.StatusServiceUnavailable, "SlowDown")}),
		p.inject(&fault{operation: "GET", times: 3, act: answer(http.StatusTooManyRequests, "TooManyRequests", "Retry-After", "1")}),
		p.inject(&fault{operation: "GET", times: 3, act: answer(http.StatusInternalServerError, "InternalError")}),
	}
	checkNames(t, m.names("dir"), "object")
	if got, err := hashFile("read", m.path("dir", "object")); err != nil || got != o.sha256() {
		t.Errorf("got %s, %v", got, err)
	}
	for i, burst := range bursts {
		if burst.hits() == 0 {
			t.Errorf("burst %d was not met", i)
		}
	}
}

// A connection that is reset, or a body that ends early, is resumed from the byte it reached.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	truncated, resetted := b.put("truncated", 1, 5*chunk+1), b.put("reset", 2, 5*chunk+1)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint())
	for _, n := range []int64{5 * mib, 0, 1, 4095, block, chunk - 1} {
		p.inject(&fault{operation: "GET", key: "truncated", times: 1, act: truncate(n)})
		p.inject(&fault{operation: "GET", key: "reset", times: 1, act: reset(n)})
	}
	for _, o := range []object{truncated, resetted} {
		if got, err := hashFile("read", m.path(o.key)); err != nil || got != o.sha256() {
			t.Errorf("%s: got %s, %v", o.key, got, err)
		}
	}
	// The first GET ended in good order after 5 MiB: what it brought is not asked for again.
	resumed := slices.ContainsFunc(p.take(t), func(request string) bool {
		return strings.HasPrefix(request, "GET /truncated bytes=5242880-")
	})
	if !resumed {
		t.Error("no GET went on from the byte that the first one reached")
	}
}

// TestResetWire is the same on the wire: no connection lives for longer than a few MiB.
func TestResetWire(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 4*chunk)
	w := newWire(t, b.server.Endpoint())
	m := mountFaulty(t, b, w.endpoint())
	w.spoil("limit_data", map[string]any{"bytes": 5*mib + 11})
	if got, err := hashFile("direct", m.path("object")); err != nil || got != o.sha256() {
		t.Errorf("got %s, %v", got, err)
	}
}

// A connection on which no byte moves is given up, and the read goes on over another.
func TestStalledConnection(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 3*chunk)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint())
	inBody := p.inject(&fault{operation: "GET", times: 1, act: stall(2*mib + 5)})
	atHeaders := p.inject(&fault{operation: "GET", times: 1, act: hold()})
	if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
		t.Errorf("got %s, %v", got, err)
	}
	if inBody.hits() == 0 || atHeaders.hits() == 0 {
		t.Error("the stalled requests were not made")
	}
}

// TestBlackHole is the same on the wire: every connection goes dead at once and stays open, new ones are dead too, and
// later the network is well again.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	// Longer than a connection is given without a byte: the requests have moved on to new connections, dead as well. On a
	// machine so busy that the store seems slow, that takes longer.
	const outage = 20 * time.Second
	const complaint = "still trying"
	b := newBucket(t)
	o := b.put("object", 1, 8*chunk)
	w := newWire(t, b.server.Endpoint())
	m := mountFaulty(t, b, w.endpoint(), "--memory", "32MiB")
	f := m.open("object")
	readFirst(t, f, o)
	w.spoil("timeout", map[string]any{"timeout": 0})
	var rest errgroup.Group
	rest.Go(func() error {
		buf := make([]byte, 4*chunk)
		if _, err := f.ReadAt(buf, 4*chunk); err != nil {
			return err
		}
		return o.check(buf, 4*chunk)
	})
	begun := time.Now()
	<-time.After(outage)
	eventually(t, patience, "the log to say why the read hangs", func() bool { return strings.Contains(m.rawLog(), complaint) })
	lasted := time.Since(begun)
	w.mend()
	if err := rest.Wait(); err != nil {
		t.Error(err)
	}
	// Not by a line for each attempt: by one in half a minute.
	if n := strings.Count(m.rawLog(), complaint); n > 2+int(lasted/(30*time.Second)) {
		t.Errorf("the log says %d times that the store fails:\n%s", n, m.rawLog())
	}
}

// A store that throttles for a moment does not fail a mount.
func TestMountWhileThrottled(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 1000)
	p := newProxy(t, b.server.Endpoint())
	burst := p.inject(&fault{operation: "LIST", times: 3, act: answer(http.StatusServiceUnavailable, "SlowDown")})
	m := mountFaulty(t, b, p.endpoint())
	if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() || burst.hits() != 3 {
		t.Errorf("got %s, %v, after %d refusals", got, err, burst.hits())
	}
}

// A connection that is slow is not given up as long as bytes move.
func TestSlowConnection(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 100*kib)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	// 100 KiB in 25 s: longer than a connection may be without a byte, and far slower than any store.
	slow := p.inject(&fault{operation: "GET", times: 1, act: trickle(1024, 250*time.Millisecond)})
	if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
		t.Errorf("got %s, %v", got, err)
	}
	if n := p.count("GET"); n != 1 || slow.hits() != 1 {
		t.Errorf("it took %d GETs", n)
	}
}

// When the store dies in the middle of a read and comes back, the read goes on.
func TestServerDiesAndReturns(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	b := newBucketOn(t, server)
	o := b.put("object", 1, 8*chunk)
	m := mountFaulty(t, b, server.Endpoint(), "--memory", "32MiB")
	f := m.open("object")
	readFirst(t, f, o)

	server.Kill()
	progress := make(chan int64, o.size/block)
	var rest errgroup.Group
	rest.Go(func() error {
		buf := make([]byte, block)
		for off := int64(0); off < o.size; off += block {
			if _, err := f.ReadAt(buf, off); err != nil {
				return err
			}
			if err := o.check(buf, off); err != nil {
				return err
			}
			progress <- off
		}
		return nil
	})
	awaitStandstill(t, progress)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := rest.Wait(); err != nil {
		t.Error(err)
	}
}

// awaitStandstill returns when nothing has come through progress for a while, at its latest after patience.
func awaitStandstill(t *testing.T, progress <-chan int64) {
	t.Helper()
	const still = 2 * time.Second // a block takes milliseconds
	deadline := time.After(patience)
	for {
		select {
		case <-progress:
		case <-time.After(still):
			return
		case <-deadline:
			t.Fatal("the reader goes on without a server")
		}
	}
}

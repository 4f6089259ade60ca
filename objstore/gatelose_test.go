package objstore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// restless is somebody who asks for all kinds of things and gives most of it up, at any moment and in any way.
type restless struct {
	*testing.T
	bucket  objstore.Bucket
	version objstore.Version
	rng     *rand.Rand
}

// upTo sleeps for a random time.
func (r *restless) upTo(d time.Duration) { time.Sleep(time.Duration(r.rng.Int64N(int64(d)))) }

// turn makes one request.
func (r *restless) turn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+r.rng.IntN(400))*time.Millisecond)
	defer cancel()
	ticket := objstore.NewTicket(objstore.Class(r.rng.IntN(objstore.NumClasses)))
	ctx = objstore.WithTicket(ctx, ticket)
	raised := time.AfterFunc(time.Duration(r.rng.IntN(100))*time.Millisecond, func() { ticket.Raise(objstore.ClassDemand) })
	defer raised.Stop()
	switch r.rng.IntN(6) {
	case 0:
		_, _ = r.bucket.Stat(ctx, r.version.Key)
	case 1:
		_, _ = r.bucket.Put(ctx, "new/key", strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{})
	case 2:
		for range r.bucket.List(ctx, objstore.ListOptions{PageSize: 1}) {
			if r.upTo(10 * time.Millisecond); r.rng.IntN(2) == 0 {
				break
			}
		}
	default:
		r.read(ctx)
	}
}

// read reads as much as it likes, and closes the body once, twice, under a read, or never.
func (r *restless) read(ctx context.Context) {
	body, err := r.bucket.Open(ctx, r.version, objstore.Range{Len: r.version.Size})
	if err != nil {
		return
	}
	way := r.rng.IntN(4)
	if way == 0 {
		return
	}
	var closing sync.WaitGroup
	if way == 1 {
		after := time.Duration(r.rng.IntN(50)) * time.Millisecond
		closing.Go(func() {
			time.Sleep(after)
			body.Close()
		})
	}
	_, _ = io.CopyN(io.Discard, body, r.rng.Int64N(2*r.version.Size))
	closing.Wait()
	body.Close()
	if way == 2 {
		body.Close()
	}
}

// Whatever requests come to, whoever gives them up and when, each slot comes back, and nobody waits for ever: then the
// bubble would not end.
func TestGateLosesNothing(t *testing.T) {
	for name, wrap := range map[string]func(objstore.Bucket) objstore.Bucket{
		"gate":   func(b objstore.Bucket) objstore.Bucket { return b },
		"hedger": objstore.NewHedger(1).Wrap,
		"retry": func(b objstore.Bucket) objstore.Bucket {
			return objstore.NewRetry(objstore.NewHedger(1).Wrap(b), objstore.RetryPolicy{Budget: time.Second})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { loseNothing(t, wrap) })
		})
	}
}

func loseNothing(t *testing.T, wrap func(objstore.Bucket) objstore.Bucket) {
	const workers, turns = 60, 40
	faults := faultstore.New(memstore.New("bucket"))
	version := put(t, faults, "dir/key", strings.Repeat("x", 5000))
	pause := func(ctx context.Context) error { return sleep(ctx, time.Duration(rand.IntN(60))*time.Millisecond) }
	for i := range 100 {
		refusal := &objstore.Error{Status: 503, RetryAfter: time.Duration(i%4) * 100 * time.Millisecond, Err: objstore.ErrThrottled}
		faults.Add(
			faultstore.Fault{Skip: 40, Times: 1, Before: pause, Err: refusal},
			faultstore.Fault{Op: objstore.OpOpen, Times: 4, Before: pause, Body: faultstore.Body{After: 100, Stall: true}},
			faultstore.Fault{Op: objstore.OpOpen, Times: 4, Body: faultstore.Body{After: 50, Err: io.ErrUnexpectedEOF}},
			faultstore.Fault{Times: 10, Before: pause},
		)
	}
	gate := objstore.NewGate(objstore.GateConfig{Start: 12})
	bucket := wrap(gate.Wrap(faults))
	var all sync.WaitGroup
	for i := range workers {
		r := &restless{T: t, bucket: bucket, version: version, rng: rand.New(rand.NewPCG(uint64(i), 1))}
		all.Go(func() {
			for range turns {
				r.turn(t.Context())
				if err := gate.Check(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	time.Sleep(time.Minute) // pauses are over, and what was forgotten has timed out
	synctest.Wait()
	s := gate.Stats()
	if err := gate.Check(); err != nil || s.InUse != 0 {
		t.Errorf("%d slots in use, %v", s.InUse, err)
	}
	for c, class := range s.Classes {
		if class.Waiting != 0 {
			t.Errorf("%d requests of class %v still wait", class.Waiting, objstore.Class(c))
		}
	}
}

// A body that is forgotten gives its slot back when its request is over, and one that was read to its end at once.
func TestGateForgottenBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateTest(t, objstore.GateConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		g.open(ctx, "forgotten")
		if in := g.gate.Stats().InUse; in != 1 {
			t.Errorf("%d slots in use, want 1", in)
		}
		cancel()
		g.settle()
		if in := g.gate.Stats().InUse; in != 0 {
			t.Errorf("%d slots in use after the request's end", in)
		}
		g.close("forgotten")
		if in := g.gate.Stats().InUse; in != 0 {
			t.Errorf("%d slots in use after a late close", in)
		}
	})
}

// Whoever closes a body while its request's end is being dealt with comes back to a gate that has the slot again.
func TestGateCloseAtCancel(t *testing.T) {
	gate := objstore.NewGate(objstore.GateConfig{})
	b := gate.Wrap(memstore.New("bucket"))
	v := put(t, b, "key", "content")
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		body, err := b.Open(ctx, v, objstore.Range{Len: 7})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		runtime.Gosched()
		body.Close()
		if in := gate.Stats().InUse; in != 0 {
			t.Fatalf("%d slots in use after the close", in)
		}
	}
}

// While there are always more readers than slots, what is to be stored gets its part of them.
func TestGateServesUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 64
		faults := faultstore.New(memstore.New("bucket"))
		v := put(t, faults, "key", "content")
		slow := func(ctx context.Context) error { return sleep(ctx, 100*time.Millisecond) }
		faults.Add(faultstore.Fault{Op: objstore.OpOpen, Before: slow}, faultstore.Fault{Op: objstore.OpPut, Before: slow})
		gate := objstore.NewGate(objstore.GateConfig{Start: limit, Max: limit})
		bucket := gate.Wrap(faults)
		ctx, stop := context.WithCancel(t.Context())
		var readers, writers sync.WaitGroup
		for range 3 * limit {
			readers.Go(func() {
				for ctx.Err() == nil {
					if body, err := bucket.Open(ctx, v, objstore.Range{Len: 7}); err == nil {
						body.Close()
					}
				}
			})
		}
		time.Sleep(time.Second)
		most := 0
		patience, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		for range 4 * limit {
			writers.Go(func() {
				if _, err := bucket.Put(patience, "new", strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{}); err != nil {
					t.Error(err)
				}
			})
		}
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			most = max(most, gate.Stats().Classes[objstore.ClassUpload].InUse)
		}
		if most != limit/8 {
			t.Errorf("%d slots for writers, want an eighth of %d", most, limit)
		}
		writers.Wait()
		stop()
		readers.Wait()
	})
}

// Of two pauses, the end of the earlier one is not slept through because the other one was known first.
func TestGateWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := faultstore.New(memstore.New("bucket"))
		bucket := objstore.NewGate(objstore.GateConfig{}).Wrap(faults)
		for key, pause := range map[string]time.Duration{"long/key": 20 * time.Second, "short/key": time.Second} {
			put(t, faults, key, "content")
			faults.Add(faultstore.Fault{Op: objstore.OpStat, Key: key, Times: 1, Err: &objstore.Error{Status: 503, RetryAfter: pause, Err: objstore.ErrThrottled}})
		}
		begun := time.Now()
		var all sync.WaitGroup
		for _, key := range []string{"long/key", "short/key"} {
			if _, err := bucket.Stat(t.Context(), key); !errors.Is(err, objstore.ErrThrottled) {
				t.Error(err)
			}
			want := map[string]time.Duration{"long/key": 20 * time.Second, "short/key": time.Second}[key]
			all.Go(func() {
				if _, err := bucket.Stat(of(t.Context(), objstore.ClassPrefetch), key); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took != want {
					t.Errorf("%s waited %v, want %v", key, took, want)
				}
			})
			synctest.Wait()
		}
		all.Wait()
	})
}

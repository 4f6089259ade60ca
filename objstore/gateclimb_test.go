package objstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

const peak = 6 << 30 // bytes a second: 96 MiB/s a connection at 64 of them

// curve is a store whose best lasts from one number of GETs to another; it gives half at 500 and hangs at 800.
func curve(from, to int) cwsim.Model {
	m := cwsim.Measured(peak)
	m.From, m.To = from, to
	return m
}

// goodput is which part of the peak a store delivers in a time that begins now.
func goodput(s *modelStore, d time.Duration) float64 {
	before, _, _ := s.count()
	time.Sleep(d)
	after, _, _ := s.count()
	return float64(after-before) / d.Seconds() / peak
}

// From wherever it begins, within ten seconds the gate has found out what a store is best at, and stays there.
func TestGateFindsTheBest(t *testing.T) {
	begins := []objstore.GateConfig{{}, {Start: 1}, {Start: 1000, Max: 1000}, {Start: 100}, {Start: 300}, {Start: 500, Max: 1000}}
	for _, best := range [][2]int{{64, 200}, {64, 64}, {200, 200}} {
		if best[0] == best[1] { // where it begins does not tell much more of these than of the usual one
			begins = begins[:3]
		}
		for _, begin := range begins {
			t.Run(fmt.Sprintf("best at %d to %d from %d", best[0], best[1], begin.Start), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, gate := newModelStore(curve(best[0], best[1])), objstore.NewGate(begin)
					ctx, stop := context.WithCancel(t.Context())
					wait := load(ctx, t, objstore.NewRetry(gate.Wrap(store), objstore.RetryPolicy{}), max(begin.Max, 300)*6/5)
					var curve []string
					for range 10 {
						curve = append(curve, fmt.Sprintf("%d:%.0f%%", gate.Stats().Limit, 100*goodput(store, time.Second)))
					}
					t.Logf("limit and part of the best, by seconds: %s", strings.Join(curve, " "))
					if part := goodput(store, 8*time.Second); part < 0.9 {
						t.Errorf("after 10 seconds %.0f%% of the best, with a limit of %d", 100*part, gate.Stats().Limit)
					} else {
						t.Logf("in the 8 seconds after: %.0f%%, then a limit of %d", 100*part, gate.Stats().Limit)
					}
					stop()
					wait()
					if _, active, _ := store.count(); active != 0 || gate.Check() != nil || gate.Stats().InUse != 0 {
						t.Errorf("afterwards %d GETs under way, %d slots in use, %v", active, gate.Stats().InUse, gate.Check())
					}
				})
			})
		}
	}
}

// When the best moves, the gate follows, and the other load that made it move does not starve it.
func TestGateFollowsTheBest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, gate := newModelStore(curve(64, 64)), objstore.NewGate(objstore.GateConfig{})
		ctx, stop := context.WithCancel(t.Context())
		wait := load(ctx, t, gate.Wrap(store), 600)
		for _, best := range [][2]int{{64, 64}, {200, 200}, {64, 64}, {150, 150}, {80, 80}} {
			store.set(curve(best[0], best[1]))
			time.Sleep(15 * time.Second)
			if part := goodput(store, 10*time.Second); part < 0.9 {
				t.Errorf("15 seconds after the best has moved to %d: %.0f%% of it, with a limit of %d", best[0], 100*part, gate.Stats().Limit)
			}
		}
		stop()
		wait()
	})
}

// A store that comes to hang at fewer requests than there are goes on within seconds, because some are given up.
func TestGateEndsHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, gate := newModelStore(curve(200, 200)), objstore.NewGate(objstore.GateConfig{})
		ctx, stop := context.WithCancel(t.Context())
		wait := load(ctx, t, objstore.NewRetry(gate.Wrap(store), objstore.RetryPolicy{}), 400)
		time.Sleep(10 * time.Second)
		store.set(cwsim.Model{Peak: peak, From: 40, To: 50, Half: 100, Hang: 120})
		time.Sleep(10 * time.Second)
		if part := goodput(store, 10*time.Second); part < 0.9 {
			t.Errorf("10 seconds after the store began to hang: %.0f%% of its best, with a limit of %d", 100*part, gate.Stats().Limit)
		}
		if gate.Stats().Shed == 0 {
			t.Error("no read was broken off")
		}
		stop()
		wait()
	})
}

// Reads that wait for their reader, or few ones in a slow store, do not hang.
func TestGateSparesSlowReads(t *testing.T) {
	for name, c := range map[string]struct {
		reads int
		first time.Duration
		pause time.Duration // of the reader, in the middle
	}{"few": {20, 20 * time.Second, 0}, "not read on": {60, time.Millisecond, 20 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, gate := newModelStore(cwsim.Model{}), objstore.NewGate(objstore.GateConfig{})
				store.first = c.first
				b := gate.Wrap(store)
				var all sync.WaitGroup
				for range c.reads {
					all.Go(func() {
						body, err := b.Open(t.Context(), objstore.Version{Key: "key", Size: 10}, objstore.Range{Len: 10})
						if err != nil {
							t.Error(err)
							return
						}
						time.Sleep(c.pause)
						if n, err := drain(body); n != 10 || err != nil {
							t.Errorf("%d bytes, %v", n, err)
						}
						body.Close()
					})
				}
				all.Wait()
				if s := gate.Stats(); s.Shed != 0 || s.Limit != 64 {
					t.Errorf("%d reads were broken off, the limit is %d", s.Shed, s.Limit)
				}
			})
		})
	}
}

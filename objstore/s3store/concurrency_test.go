package s3store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

const (
	climbPeak  = 48 << 20 // bytes a second: what 64 to 200 GETs get together
	climbRange = 128 << 10
)

// daemon is the whole stack of one over the simulator, with an object to read.
type daemon struct {
	*cwsim.Store
	gate    *objstore.Gate
	hedger  *objstore.Hedger
	bucket  objstore.Bucket
	version objstore.Version
	read    atomic.Int64 // bytes
}

// newDaemon makes one that reaches the simulator by HTTP over connections in memory.
func newDaemon(t *testing.T, config objstore.GateConfig, options cwsim.Options) *daemon {
	t.Helper()
	options.Buckets = []cwsim.Bucket{{Name: "bucket"}}
	store := cwsim.New(options)
	c := &daemon{Store: store, gate: objstore.NewGate(config), hedger: objstore.NewHedger(0.02)}
	client := newClient(t, Config{Endpoint: "http://" + cwsim.LotaHost, AccessKey: testAccessKey, SecretKey: testSecretKey, dial: servePipes(t, store.ServeHTTP).dial})
	c.gate.OnLimit(client.SetMaxConns)
	raw, err := client.Bucket(t.Context(), "bucket")
	if err != nil {
		t.Fatal(err)
	}
	c.bucket = objstore.NewRetry(c.hedger.Wrap(c.gate.Wrap(objstore.NewMeter().Wrap(raw))), objstore.RetryPolicy{})
	e, err := store.Bucket("bucket").Put(t.Context(), "key", bytes.NewReader(make([]byte, climbRange)), climbRange, objstore.Condition{}, objstore.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	c.version = objstore.VersionOf(c.bucket, e)
	return c
}

// get reads the object by pieces.
func (c *daemon) get(ctx context.Context, piece []byte) error {
	body, err := c.bucket.Open(ctx, c.version, objstore.Range{Len: c.version.Size})
	if err != nil {
		return err
	}
	defer body.Close()
	for err == nil {
		var n int
		n, err = body.Read(piece)
		c.read.Add(int64(n))
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// load has readers read until ctx ends.
func (c *daemon) load(ctx context.Context, t *testing.T, readers int) (wait func()) {
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			piece := make([]byte, climbRange)
			for ctx.Err() == nil {
				if err := c.get(ctx, piece); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return all.Wait
}

// part is which part of the best comes in a time that begins now.
func (c *daemon) part(d time.Duration) float64 {
	before := c.read.Load()
	time.Sleep(d)
	return float64(c.read.Load()-before) / d.Seconds() / climbPeak
}

// From cold and from any start, the whole stack comes to at least 90% of what the simulated LOTA has within ten
// seconds: HTTP, connections and all, on a bubble's clock. It follows when the best moves.
func TestConcurrencyFindsItself(t *testing.T) {
	for _, config := range []objstore.GateConfig{{}, {Start: 1}, {Start: 8}, {Start: 300}, {Start: 1000, Max: 1000}} { // the model of the store has more starts, and is quicker
		t.Run(fmt.Sprintf("from %d", config.Start), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				c := newDaemon(t, config, cwsim.Options{Model: cwsim.Measured(climbPeak), RequestCost: 2 * time.Millisecond})
				wait := c.load(ctx, t, max(config.Max, 300)*6/5)
				time.Sleep(10 * time.Second)
				if part := c.part(5 * time.Second); part < 0.9 { // of some of the gate's trials: a single one is below
					t.Errorf("after ten seconds %.0f%% of the best, with a limit of %d", 100*part, c.gate.Stats().Limit)
				} else {
					t.Logf("after ten seconds %.0f%% of the best, with a limit of %d", 100*part, c.gate.Stats().Limit)
				}
				if config.Start == 0 {
					c.SetModel(cwsim.Model{Peak: climbPeak, From: 24, To: 40, Half: 150, Hang: 400})
					time.Sleep(15 * time.Second)
					if part := c.part(5 * time.Second); part < 0.9 {
						t.Errorf("after the best has moved to 24 to 40: %.0f%% of it, with a limit of %d", 100*part, c.gate.Stats().Limit)
					}
				}
				stop()
				wait()
				synctest.Wait() // for bodies whose context has ended
				if s := c.gate.Stats(); s.InUse != 0 {
					t.Errorf("%d slots in use at the end", s.InUse)
				}
			})
		})
	}
}

// With one GET in a hundred stalling for ten seconds, of a thousand reads all but one take less than ten times the
// median, and no more than 2% of the GETs are second ones, at any time.
func TestStallsAreHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, reads = 16, 8000
		c := newDaemon(t, objstore.GateConfig{}, cwsim.Options{RequestCost: 20 * time.Millisecond, StallEvery: 100, StallTime: 10 * time.Second})
		var mu sync.Mutex // guards times
		var times []time.Duration
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				piece := make([]byte, climbRange)
				for range reads / readers {
					begun := time.Now()
					if err := c.get(t.Context(), piece); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					times = append(times, time.Since(begun))
					if tries := c.hedger.Stats().Tries; float64(tries) > 0.02*float64(len(times)+readers) {
						t.Errorf("%d second GETs beside %d reads", tries, len(times))
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		slices.Sort(times)
		median, p999 := times[len(times)/2], times[len(times)*999/1000]
		if s := c.hedger.Stats(); p999 >= 10*median || s.Wins < reads/100/2 {
			t.Errorf("p99.9 is %v, the median %v; %+v", p999, median, s)
		}
		synctest.Wait()
		if s := c.gate.Stats(); s.InUse != 0 {
			t.Errorf("%d slots in use at the end", s.InUse)
		}
	})
}

package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// Throttling lowers the limit, the hook hears of it, and Retry-After holds prefetch back but not a demand read.
func TestGateThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultstore.New(memstore.New("bucket"))
		store.Add(faultstore.Fault{Op: objstore.OpStat, Err: &objstore.Error{Status: 503, RetryAfter: 3 * time.Second, Err: objstore.ErrThrottled}})
		gate := objstore.NewGate(objstore.GateConfig{})
		b := gate.Wrap(store)
		v := put(t, b, "key", "content")
		var told []int
		gate.OnLimit(func(limit int) { told = append(told, limit) })
		time.Sleep(time.Second)
		if _, err := b.Stat(t.Context(), "key"); !errors.Is(err, objstore.ErrThrottled) {
			t.Fatal(err)
		}
		if s := gate.Stats(); s.Limit != 32 || s.Throttled != 1 || !slices.Equal(told, []int{64, 32}) {
			t.Errorf("limit %d, throttled %d, told %v", s.Limit, s.Throttled, told)
		}
		begun := time.Now()
		read := func(ctx context.Context) time.Duration {
			body, err := b.Open(ctx, v, objstore.Range{Len: 7})
			if err != nil {
				t.Error(err)
				return 0
			}
			body.Close()
			return time.Since(begun)
		}
		if waited := read(t.Context()); waited != 0 {
			t.Errorf("a demand read waited %v", waited)
		}
		if waited := read(of(t.Context(), objstore.ClassPrefetch)); waited != 3*time.Second {
			t.Errorf("prefetch waited %v, want 3s", waited)
		}
		if waited := gate.Stats().Classes[objstore.ClassPrefetch].Waited; waited != 3*time.Second {
			t.Errorf("counted %v of waiting, want 3s", waited)
		}
	})
}

// Under full load of a store that gives each request the same, the limit climbs, and never are there more requests than
// it allows.
func TestGateClimbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		under, most := 0, 0
		store := faultstore.New(memstore.New("bucket"))
		v := put(t, store, "key", string(bytes.Repeat([]byte("x"), 1<<16)))
		store.Add(faultstore.Fault{Op: objstore.OpOpen, Before: func(context.Context) error {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			under--
			mu.Unlock()
			return nil
		}})
		gate := objstore.NewGate(objstore.GateConfig{Max: 100})
		b := gate.Wrap(store)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var readers sync.WaitGroup
		for range 150 {
			readers.Go(func() {
				for {
					body, err := b.Open(ctx, v, objstore.Range{Len: v.Size})
					if err != nil {
						return
					}
					io.Copy(io.Discard, body)
					body.Close()
				}
			})
		}
		readers.Wait()
		if s := gate.Stats(); s.Limit != 100 || most != 100 || s.InUse != 0 {
			t.Errorf("limit %d, at most %d at once, %d in use at the end; want 100, 100, 0", s.Limit, most, s.InUse)
		}
		if err := gate.Check(); err != nil {
			t.Error(err)
		}
	})
}

package objstore_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// readSlowly has readers read ranges of so many bytes one after the other, by small pieces, until ctx ends.
func readSlowly(ctx context.Context, t *testing.T, b objstore.Bucket, readers int, size int64) (wait func()) {
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for ctx.Err() == nil {
				body, err := b.Open(ctx, objstore.Version{Bucket: b.Name(), Key: "key", Size: size}, objstore.Range{Len: size})
				if err == nil {
					_, err = drain(body)
					body.Close()
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return all.Wait
}

// A store that was fast and is slow now, or of which little is asked now, is not taken to hang: no read is broken off.
func TestGateSparesSlowStores(t *testing.T) {
	each := func(readers int, rate float64) cwsim.Model { // so many bytes a second to each of up to 300
		return cwsim.Model{Peak: 300 * rate, From: 300, To: 300, Half: 301, Hang: 302}
	}
	for name, c := range map[string]struct {
		readers int
		model   cwsim.Model
		first   time.Duration
		size    int64
	}{
		"a mebibyte a second for each of 24": {24, each(24, 1<<20), 20 * time.Millisecond, 16 << 20},
		"the same for 60":                    {60, each(60, 1<<20), 20 * time.Millisecond, 16 << 20},
		"small ones, answered late":          {40, cwsim.Model{}, 1200 * time.Millisecond, 4 << 10},
		"a tenth of what there was":          {60, each(60, 10<<20), 20 * time.Millisecond, 16 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, gate := newModelStore(curve(64, 200)), objstore.NewGate(objstore.GateConfig{})
				ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
				load(ctx, t, gate.Wrap(store), 200)()
				stop()
				store.set(c.model)
				store.first = c.first
				ctx, stop = context.WithTimeout(t.Context(), 30*time.Second)
				defer stop()
				readSlowly(ctx, t, gate.Wrap(store), c.readers, c.size)()
				if s := gate.Stats(); s.Shed != 0 || s.InUse != 0 {
					t.Errorf("%d reads were broken off, %d slots are in use", s.Shed, s.InUse)
				}
			})
		})
	}
}

// brokenAbove is a store that fails GETs above so many, at once.
type brokenAbove struct {
	*partitionedStore
}

func (s brokenAbove) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	body, err := s.partitionedStore.Open(ctx, v, r)
	if objstore.KindOf(err) == objstore.KindThrottled {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
		return nil, &objstore.Error{Op: "GetObject", Key: v.Key, Status: 500, Err: io.ErrUnexpectedEOF}
	}
	return body, err
}

// Failures are no work: the limit does not climb because a store fails faster than it serves.
func TestGateCountsNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := curve(40, 300)
		store := brokenAbove{&partitionedStore{modelStore: newModelStore(model), active: make(map[string]int)}}
		store.partition = func(string) (string, int) { return "", 40 }
		gate := objstore.NewGate(objstore.GateConfig{})
		ctx, stop := context.WithTimeout(t.Context(), 40*time.Second)
		defer stop()
		b := objstore.NewRetry(gate.Wrap(store), objstore.RetryPolicy{MaxDelay: 20 * time.Millisecond})
		load(ctx, t, b, 400)()
		if limit := gate.Stats().Limit; limit > 100 {
			t.Errorf("a limit of %d for a store that serves 40 and fails the others", limit)
		}
	})
}

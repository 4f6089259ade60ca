package objstore_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// Many readers of an unreliable store get right bytes through the whole composition, and afterwards nothing is held.
func TestStackOverUnreliableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := make([]byte, 1<<16)
		rand.NewChaCha8([32]byte{}).Read(data)
		faults := faultstore.New(memstore.New("bucket"))
		v := put(t, faults, "key", string(data))
		pace := func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil }
		for round := range 20 {
			faults.Add(
				faultstore.Fault{Op: objstore.OpOpen, Skip: 7 * round, Times: 5, Err: &objstore.Error{
					Status: 503, RetryAfter: time.Duration(round%3) * time.Second, Err: objstore.ErrThrottled,
				}},
				faultstore.Fault{Op: objstore.OpOpen, Skip: 5 * round, Times: 3, Before: pace, Body: faultstore.Body{After: int64(100 * round), Err: io.ErrUnexpectedEOF}},
				faultstore.Fault{Op: objstore.OpOpen, Skip: 3 * round, Times: 2, Before: pace, Err: objstore.ErrTimeout},
			)
		}
		faults.Add(faultstore.Fault{Op: objstore.OpOpen, Before: pace})
		gate, meter := objstore.NewGate(objstore.GateConfig{}), objstore.NewMeter()
		b := objstore.NewRetry(objstore.NewHedger(1).Wrap(gate.Wrap(meter.Wrap(faults))), objstore.RetryPolicy{})
		var readers sync.WaitGroup
		for i := range 100 {
			readers.Go(func() {
				ctx := of(t.Context(), objstore.Class(i%objstore.NumClasses))
				for turn := range int64(10) {
					r := objstore.Range{Off: turn * 1000, Len: 3000}
					body, err := b.Open(ctx, v, r)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data[r.Off:r.End()]) {
						t.Errorf("%v: %d bytes that are not those of the range, or %v", r, len(got), err)
					}
					body.Close()
				}
			})
		}
		readers.Wait()
		if err := gate.Check(); err != nil {
			t.Error(err)
		}
		s := gate.Stats()
		if s.InUse != 0 || s.Throttled != 100 || s.Limit >= 64 {
			t.Errorf("at the end %d slots in use, %d answers throttled, limit %d; want 0, 100, less than 64", s.InUse, s.Throttled, s.Limit)
		}
		for _, row := range meter.Stats().Ops {
			if row.InFlight != 0 {
				t.Errorf("%v %v: %d requests in flight", row.Op, row.Class, row.InFlight)
			}
		}
	})
}

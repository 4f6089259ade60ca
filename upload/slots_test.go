package upload

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// far is a store in front of which some latency was measured.
type far struct {
	objstore.Bucket
	latency time.Duration
}

func (f far) WriteLatency() time.Duration { return f.latency }

func (f far) WritePatience() time.Duration { return time.Minute }

// More parts are on their way to a store that is further away, and never less than nearby or more than the most.
func TestPartSlots(t *testing.T) {
	near := memstore.New("bucket")
	for _, c := range []struct {
		bucket objstore.Bucket
		want   int
	}{
		{near, 8},
		{far{near, 0}, 8},
		{far{near, 30 * time.Millisecond}, 8},
		{far{near, 60 * time.Millisecond}, 12},
		{far{near, 150 * time.Millisecond}, 30},
		{far{near, time.Second}, 32},
	} {
		if got := cap(partSlots(c.bucket)); got != c.want {
			t.Errorf("%+v: %d parts at once, want %d", c.bucket, got, c.want)
		}
	}
}

// So many parts of a file are indeed under way at the same time, and what is stored in the end is the file.
func TestPartsUnderWay(t *testing.T) {
	for latency, want := range map[time.Duration]int64{0: 8, 150 * time.Millisecond: 30} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			var underWay atomic.Int64
			release := make(chan struct{})
			r.bucket.Add(faultstore.Fault{Op: objstore.OpUploadPart, Before: func(context.Context) error {
				underWay.Add(1)
				<-release
				return nil
			}})
			f, err := r.Open(Target{Bucket: far{r.bucket, latency}, Key: "key"}, Base{})
			if err != nil {
				t.Fatal(err)
			}
			content := bytes.Repeat([]byte("0123456789abcdef"), 40*int(smallSizes.part)/16)
			r.write(f, content, 0)
			stored := make(chan error, 1)
			go func() {
				_, err := f.Publish(t.Context())
				stored <- err
			}()
			synctest.Wait()
			if got := underWay.Load(); got != want {
				t.Errorf("at a latency of %v %d parts are under way, want %d", latency, got, want)
			}
			close(release)
			if err := <-stored; err != nil {
				t.Error(err)
			}
			f.Close()
			r.settled()
			if !bytes.Equal(r.stored("key"), content) {
				t.Errorf("at a latency of %v something else is stored", latency)
			}
		})
	}
}

package upload

import (
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// far is a store in front of which some latency was measured.
type far struct {
	objstore.Bucket
	latency time.Duration
}

func (f far) WriteLatency() time.Duration { return f.latency }

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

package upload

import (
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// partsNearby is how many parts of one file are sent at the same time to a store that answers writes within nearby.
	partsNearby = 8
	// partsFar is the most, however far away the store is.
	partsFar = 32
	nearby   = 40 * time.Millisecond
)

// PartsAtOnce is how many parts of one file are sent at the same time: in proportion to the latency of writes, since
// what one connection carries falls with it.
func PartsAtOnce(latency time.Duration) int {
	return max(partsNearby, min(int(partsNearby*latency/nearby), partsFar))
}

// partSlots has a slot for each part that b is sent at the same time. What is known of its latency is from its last
// writes, of which the one that has begun the upload is the latest.
func partSlots(b objstore.Bucket) chan struct{} {
	var latency time.Duration
	if d, ok := objstore.AsDistant(b); ok {
		latency = d.WriteLatency()
	}
	return make(chan struct{}, PartsAtOnce(latency))
}

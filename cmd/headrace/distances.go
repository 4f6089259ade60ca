package main

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// distances tell how far away the homes of a mount's buckets are, and what follows from it for writes. The zero value
// is ready.
type distances struct {
	mu      sync.Mutex // guards what follows
	buckets map[string]objstore.Distant
}

// distance is that of one bucket.
type distance struct {
	bucket   string
	latency  time.Duration // 0 while nothing was written
	patience time.Duration
}

// add takes over a bucket, in the place of an earlier one of its name.
func (d *distances) add(name string, b objstore.Distant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.buckets == nil {
		d.buckets = make(map[string]objstore.Distant)
	}
	d.buckets[name] = b
}

func (d *distances) all() (all []distance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, b := range d.buckets {
		all = append(all, distance{name, b.WriteLatency(), b.WritePatience()})
	}
	return all
}

// distanceFamilies say how writes are sent, by the latency that was measured.
func distanceFamilies() []family {
	byBucket := []string{"bucket"}
	perBucket := func(value func(distance) float64) func(*snapshot, func(float64, ...string)) {
		return func(s *snapshot, emit func(float64, ...string)) {
			for _, d := range s.distances {
				emit(value(d), d.bucket)
			}
		}
	}
	const gauge = prometheus.GaugeValue
	return []family{
		{"store_write_latency_seconds", "How long the bucket's home takes to answer a write that sends next to nothing; 0 while none was made.", gauge, byBucket, perBucket(func(d distance) float64 { return d.latency.Seconds() })},
		{"store_write_patience_seconds", "For how long a write may stand still, by that latency, before it is tried again.", gauge, byBucket, perBucket(func(d distance) float64 { return d.patience.Seconds() })},
		{"upload_parts_at_once", "How many parts of one file are sent at the same time, by that latency.", gauge, byBucket, perBucket(func(d distance) float64 { return float64(upload.PartsAtOnce(d.latency)) })},
	}
}

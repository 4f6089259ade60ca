package s3store

import (
	"slices"
	"sync"
	"time"

	"github.com/headrace/headrace/objstore"
)

const (
	// nearby is the latency of writes up to which a bucket's home counts as here: what stores take to make a small write
	// durable.
	nearby = 40 * time.Millisecond
	// furthest is the longest that a write may stand still, however far away its bucket is.
	furthest = time.Minute
	// smallWrite is the size of a body, in bytes, up to which its transfer does not count.
	smallWrite = 64 << 10
)

// distance is how long a bucket's home takes to answer writes, as those that send next to nothing show. Of the last few
// the least counts: what others took longer was queues and connections being made, and a bucket whose home moves is
// noticed all the same.
type distance struct {
	mu     sync.Mutex // guards what follows
	recent []time.Duration
	next   int
}

// distanceWindow is how many of the last writes count.
const distanceWindow = 16

// note takes over how long a write took that sent next to nothing.
func (d *distance) note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.recent) < distanceWindow {
		d.recent = append(d.recent, took)
		return
	}
	d.recent[d.next] = took
	d.next = (d.next + 1) % distanceWindow
}

// latency is 0 while nothing is known.
func (d *distance) latency() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.recent) == 0 {
		return 0
	}
	return slices.Min(d.recent)
}

// patience is how long a write may stand still: progress nearby, and in proportion to the latency from there on, since
// what is lost on the way takes a round trip to be noticed and several to be made up for.
func patience(progress, latency time.Duration) time.Duration {
	if latency <= nearby {
		return progress
	}
	scaled := time.Duration(float64(progress) * float64(latency) / float64(nearby))
	return max(progress, min(scaled, furthest))
}

// patience is how long a write to the bucket may stand still.
func (b *Bucket) patience() time.Duration {
	return patience(b.client.config.ProgressTimeout, b.distance.latency())
}

// timed notes how long a write took that began at begin and sent size bytes, if it succeeded.
func (b *Bucket) timed(begin time.Time, size int64, err error) {
	if err == nil && size <= smallWrite {
		b.distance.note(time.Since(begin))
	}
}

// WriteLatency is how long the bucket's home takes to answer a small write. See [objstore.Distant].
func (b *Bucket) WriteLatency() time.Duration { return b.distance.latency() }

// WritePatience is how long a write may stand still. See [objstore.Distant].
func (b *Bucket) WritePatience() time.Duration { return b.patience() }

var _ objstore.Distant = (*Bucket)(nil)

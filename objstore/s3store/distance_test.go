package s3store

import (
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// The least of the last sixteen writes counts; what was before them is forgotten.
func TestDistance(t *testing.T) {
	var d distance
	if d.latency() != 0 {
		t.Errorf("nothing is known, and the latency is %v", d.latency())
	}
	d.note(5 * time.Millisecond)
	for n := range 15 {
		d.note(time.Duration(200+n) * time.Millisecond)
	}
	if got := d.latency(); got != 5*time.Millisecond {
		t.Errorf("latency %v, want the least", got)
	}
	d.note(300 * time.Millisecond)
	if got := d.latency(); got != 200*time.Millisecond {
		t.Errorf("latency %v after the bucket has moved away, want 200ms", got)
	}
}

func TestPatience(t *testing.T) {
	for _, c := range []struct{ progress, latency, want time.Duration }{
		{15 * time.Second, 0, 15 * time.Second},
		{15 * time.Second, nearby, 15 * time.Second},
		{15 * time.Second, 80 * time.Millisecond, 30 * time.Second},
		{15 * time.Second, 150 * time.Millisecond, 56250 * time.Millisecond},
		{15 * time.Second, time.Second, furthest},
		{2 * time.Minute, time.Second, 2 * time.Minute},
	} {
		if got := patience(c.progress, c.latency); got != c.want {
			t.Errorf("with a deadline of %v and a latency of %v: %v, want %v", c.progress, c.latency, got, c.want)
		}
	}
}

// That a bucket's home is far away is learnt from the first small write, and not from reads, which LOTA answers nearby.
func TestDistanceOfABucketAway(t *testing.T) {
	options := cwsim.Options{Buckets: []cwsim.Bucket{{Name: "here"}, {Name: "away", Away: true}}, FarLatency: 150 * time.Millisecond}
	_, c := newLota(t, options, Config{})
	for name, far := range map[string]bool{"here": false, "away": true} {
		b, err := c.Bucket(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.CreateUpload(t.Context(), "key", objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Put(t.Context(), "key", strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
		if got := b.WriteLatency(); (got >= 150*time.Millisecond) != far {
			t.Errorf("%s: latency of writes %v", name, got)
		}
		if got := b.patience(); (got > defaultProgress) != far {
			t.Errorf("%s: a write may stand still for %v", name, got)
		}
	}
}

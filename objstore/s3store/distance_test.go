package s3store

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
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

// A write to a bucket that is found to be far away may stand still for longer, and is given up at last all the same.
func TestWriteFarAwayMayStandStill(t *testing.T) {
	for _, c := range []struct {
		latency, stall time.Duration
		want           error
	}{
		{10 * time.Millisecond, 30 * time.Second, objstore.ErrTimeout},
		{150 * time.Millisecond, 30 * time.Second, nil},
		{150 * time.Millisecond, 2 * time.Minute, objstore.ErrTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := bucketOver(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				pause := c.latency
				if r.URL.Query().Has("partNumber") {
					pause = c.stall
				}
				select {
				case <-time.After(pause):
				case <-r.Context().Done():
					return
				}
				w.Header().Set("ETag", `"etag"`)
				if r.Method == http.MethodPost {
					fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
				}
			})
			id, err := b.CreateUpload(t.Context(), "key", objstore.Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err = b.UploadPart(t.Context(), "key", id, 1, strings.NewReader("part"), 4)
			if !errors.Is(err, c.want) {
				t.Errorf("%v away, standing still for %v: %v, want %v", c.latency, c.stall, err, c.want)
			}
			if waited, most := time.Since(begun), b.WritePatience(); err != nil && waited != most {
				t.Errorf("%v away it waited for %v, want %v", c.latency, waited, most)
			}
		})
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

// sampleSize is how many objects are read before, and how many afterwards: other ones, since reading an object has LOTA
// keep it as well.
const sampleSize = 16

// sample draws objects evenly from a list whose length is not known.
type sample struct {
	seen    int
	objects []object
	before  []time.Duration
}

func newSample() *sample { return &sample{} }

func (s *sample) offer(o object) {
	s.seen++
	if len(s.objects) < 2*sampleSize {
		s.objects = append(s.objects, o)
		return
	}
	if n := rand.IntN(s.seen); n < len(s.objects) {
		s.objects[n] = o
	}
}

// objectsBefore and objectsAfter are the two halves, neighbours of each other.
func (s *sample) objectsBefore() []object { return every(s.objects, 0) }
func (s *sample) objectsAfter() []object  { return every(s.objects, 1) }

// every is each second of objects.
func every(objects []object, from int) (half []object) {
	for i := from; i < len(objects); i += 2 {
		half = append(half, objects[i])
	}
	return half
}

// firstBytes is how long each object's first byte takes, one after the other: what waits for each other says nothing.
func firstBytes(ctx context.Context, objects []object, failures *failures) (times []time.Duration) {
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
	for _, o := range objects {
		begin := time.Now()
		body, err := o.bucket.Open(ctx, o.version(), objstore.Range{Len: 1})
		if err == nil {
			_, err = io.ReadFull(body, make([]byte, 1))
			body.Close()
		}
		switch {
		case ctx.Err() != nil:
			return times
		case err != nil:
			failures.add(fmt.Errorf("%s: %w", o.name(), err))
		default:
			times = append(times, time.Since(begin))
		}
	}
	return times
}

// residency is an estimate from first bytes: nothing tells whether LOTA holds an object.
type residency struct {
	Before  float64 `json:"first_byte_before_ms"` // medians
	After   float64 `json:"first_byte_after_ms"`
	Sampled int     `json:"sampled"`
	Faster  int     `json:"faster"` // of those sampled: in less than half of the median before
	Known   bool    `json:"known"`  // false: none came sooner than before, which may be because LOTA held them already
}

// judge estimates, from the first bytes of some objects before and of others after.
func judge(before, after []time.Duration) residency {
	r := residency{Sampled: len(after)}
	if len(before) == 0 || len(after) == 0 {
		return r
	}
	was, is := median(before), median(after)
	r.Before, r.After = was.Seconds()*1000, is.Seconds()*1000
	for _, d := range after {
		if d < was/2 {
			r.Faster++
		}
	}
	r.Known = r.Faster > 0
	return r
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

func (r residency) String() string {
	switch {
	case r.Sampled == 0:
		return "verify: there was nothing to sample"
	case !r.Known:
		return fmt.Sprintf("verify: first bytes took %.1f ms before and %.1f ms afterwards: LOTA held them before, or does not hold them yet", r.Before, r.After)
	}
	return fmt.Sprintf("verify: LOTA holds about %d%%: the first byte of %d of %d objects came in less than half of the time that others took before (%.1f ms; now %.1f ms)",
		100*r.Faster/r.Sampled, r.Faster, r.Sampled, r.Before, r.After)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/cache"
	"github.com/headrace/headrace/objstore"
)

// lotaSmallest is the size in bytes from which on LOTA keeps an object.
const lotaSmallest = cache.SmallObject + 1

// lotaResult is what LOTA was asked for.
type lotaResult struct {
	Objects int        `json:"objects"`
	Bytes   int64      `json:"bytes"`
	Small   int        `json:"small"` // left out: LOTA keeps none of them
	Done    int        `json:"done"`  // left out: an interrupted run has asked for them
	Seconds float64    `json:"seconds"`
	Verify  *residency `json:"verify,omitempty"`
}

// staging is a run of asking LOTA.
type staging struct {
	options  warmOptions
	record   *prestageRecord
	failures *failures

	mu     sync.Mutex // guards what follows
	result lotaResult
	found  int   // objects to ask for, so far
	total  int64 // bytes of them
}

// stage has LOTA fetch what was named.
func (o warmOptions) stage(ctx context.Context, failures *failures) (*lotaResult, error) {
	begin := time.Now()
	stores := newStores(o.store)
	defer stores.close()
	s := &staging{options: o, failures: failures}
	var sample *sample
	var err error
	if o.verify && !o.dryRun {
		if sample, err = s.draw(ctx, stores); err != nil {
			return nil, err
		}
		sample.before = firstBytes(ctx, sample.objectsBefore(), failures)
	}
	if s.record, err = openPrestageRecord(o, time.Now()); err != nil {
		return nil, err
	}
	err = s.askForAll(ctx, stores)
	if sample != nil && err == nil && pauseFor(ctx, time.Duration(o.settle)) {
		r := judge(sample.before, firstBytes(ctx, sample.objectsAfter(), failures))
		s.result.Verify = &r
	}
	if ctx.Err() != nil { // which is told at the end
		err = nil
	}
	if closed := s.record.close(err == nil && ctx.Err() == nil && failures.count == 0); closed != nil && err == nil {
		err = closed
	}
	s.result.Seconds = time.Since(begin).Seconds()
	if err == nil {
		s.tell()
	}
	return &s.result, err
}

// draw goes through what was named for a sample. What cannot be found is told when it is to be asked for.
func (s *staging) draw(ctx context.Context, stores *stores) (*sample, error) {
	drawn := newSample()
	err := s.options.eachArgument(ctx, func(arg string) error {
		return stores.eachBelow(ctx, arg, new(failures), func(found object) error {
			if found.Size >= lotaSmallest {
				drawn.offer(found)
			}
			return nil
		})
	})
	if ctx.Err() != nil {
		err = nil
	}
	return drawn, err
}

// askForAll asks while it is still being found out what there is, so that memory stays bounded however much that is.
func (s *staging) askForAll(ctx context.Context, stores *stores) error {
	bar := s.options.growingBar()
	defer bar.end()
	if !s.options.dryRun && !s.options.namesOnce() {
		defer bar.countAhead(ctx, func(ctx context.Context, bytes func(int64)) error { return s.count(ctx, stores, bytes) })()
	}
	objects := make(chan object, 1000)
	var g errgroup.Group
	for range s.options.store.maxConcurrency {
		g.Go(func() error {
			for o := range objects {
				if ctx.Err() == nil {
					s.ask(ctx, o)
					bar.add(o.Size)
				}
			}
			return nil
		})
	}
	err := s.options.eachArgument(ctx, func(arg string) error {
		return stores.eachBelow(ctx, arg, s.failures, func(found object) error {
			if !s.wanted(found) {
				return ctx.Err()
			}
			bar.find(s.total)
			bar.describe(fmt.Sprintf("%d objects", s.found))
			select {
			case objects <- found:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	if err == nil && ctx.Err() == nil {
		bar.all(s.total)
	}
	close(objects)
	_ = g.Wait() // what failed is in failures
	return err
}

// count finds how many bytes LOTA is to be asked for.
func (s *staging) count(ctx context.Context, stores *stores, bytes func(int64)) error {
	var missed failures // which are told by who asks
	err := s.options.eachArgument(ctx, func(arg string) error {
		return stores.eachBelow(ctx, arg, &missed, func(found object) error {
			if found.Size >= lotaSmallest && !s.record.has(found) {
				bytes(found.Size)
			}
			return ctx.Err()
		})
	})
	if missed.count > 0 {
		err = errors.Join(err, missed.first[0])
	}
	return errors.Join(err, ctx.Err())
}

// wanted tells whether LOTA is to be asked for an object, and counts it.
func (s *staging) wanted(o object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.Size < lotaSmallest:
		s.result.Small++
		return false
	case s.record.has(o):
		s.result.Done++
		return false
	}
	s.found++
	s.total += o.Size
	return true
}

func (s *staging) ask(ctx context.Context, o object) {
	if !s.options.dryRun {
		ctx := objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
		prestager, ok := objstore.AsPrestager(o.bucket)
		if !ok {
			s.failures.add(fmt.Errorf("%s: %w", o.name(), objstore.ErrUnsupported))
			return
		}
		if err := prestager.Prestage(ctx, o.Key); err != nil {
			if ctx.Err() == nil {
				s.failures.add(fmt.Errorf("%s: %w", o.name(), err))
			}
			return
		}
		s.record.add(o)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Objects++
	s.result.Bytes += o.Size
}

// tell says what came of it.
func (s *staging) tell() {
	r, did := s.result, "asked LOTA for"
	if s.options.dryRun {
		did = "would ask LOTA for"
	}
	s.options.say("%s %d objects, %s, in %.1f s; left out %d of 4 MB and less, which it does not keep, and %d that it was asked for before",
		did, r.Objects, sizeText(r.Bytes), r.Seconds, r.Small, r.Done)
	if r.Verify != nil {
		s.options.say("%s", r.Verify)
	}
}

// pauseFor waits; false when the command is told to end.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

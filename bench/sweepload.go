package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/objstore"
)

// sweepLoad is one kind of request, made by any number of workers.
type sweepLoad struct {
	op      string
	size    int64
	bucket  objstore.Bucket
	target  *target
	objects []object // of a GET and a HEAD
	prefix  string   // of a PUT and a LIST
	body    []byte   // of a PUT
}

// worker is one that makes requests, one after the other, and what came of them.
type worker struct {
	tally
	number int
	buf    []byte
	rng    *rand.Rand

	elapsed   time.Duration
	begun     time.Time
	moved     atomic.Int64 // when, after begun, a byte went or an answer came last; a PUT that was given up may still be looking for more
	throttled int64
	failed    int64 // throttled ones included
	hangs     bool  // nothing has moved any more in the time there was for its last request to end
}

func (w *worker) move() { w.moved.Store(int64(time.Since(w.begun))) }

const (
	// collapse is which part of the best a step must bring for a further one.
	collapse = 0.5
	// sweepBuffer is what a GET reads at a time.
	sweepBuffer = 256 * kib
	// afterFailure is how long a worker waits that was refused: it measures the store, and should not be what it suffers
	// from.
	afterFailure = 100 * time.Millisecond
)

// curve measures all steps.
func (l *sweepLoad) curve(ctx context.Context, what SweepOptions, progress io.Writer) (SweepCurve, error) {
	curve := SweepCurve{Operation: l.op, Size: l.size}
	for _, n := range what.Concurrency {
		fmt.Fprintf(progress, "%s: %d at once\n", curve.name(), n)
		step, err := l.step(ctx, n, what.Duration)
		if err != nil {
			return curve, err
		}
		curve.Steps = append(curve.Steps, step)
		if step.hangs() || curve.value(step) < collapse*curve.value(curve.best()) {
			curve.Collapsed = true
			break
		}
	}
	return curve, nil
}

// step has so many workers make requests until time is up. Each finishes the one it makes then, if it does so in as
// long again.
func (l *sweepLoad) step(ctx context.Context, workers int, d time.Duration) (SweepStep, error) {
	begun := time.Now()
	limited, cancel := context.WithDeadline(ctx, begun.Add(2*d)) // who is ended by it has taken 2*d
	defer cancel()
	all := make([]*worker, workers)
	failed := make(chan error, workers)
	var wg sync.WaitGroup
	for i := range all {
		w := &worker{number: i, begun: begun, rng: rand.New(rand.NewPCG(1, uint64(i)))}
		all[i] = w
		if l.op == SweepPut {
			l.target.maker.made = append(l.target.maker.made, l.key(w))
		}
		wg.Go(func() {
			defer func() {
				w.elapsed = time.Since(begun)
				w.hangs = w.elapsed >= 2*d && time.Duration(w.moved.Load()) < d
			}()
			for time.Since(begun) < d && limited.Err() == nil {
				if err := l.one(limited, w); err != nil {
					failed <- err
					cancel()
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return SweepStep{}, err
	default:
		return sum(workers, all), ctx.Err()
	}
}

// one makes a request. That it failed is an error only if it is no fault of there being many.
func (l *sweepLoad) one(ctx context.Context, w *worker) error {
	begun, before := time.Now(), w.bytes
	err := l.request(ctx, w)
	switch {
	case err == nil:
		w.move()
		w.reads++
		w.latencies = append(w.latencies, time.Since(begun))
		return nil
	case ctx.Err() != nil: // time is up: what has come counts, but not the request
		return nil
	}
	w.bytes = before
	switch objstore.KindOf(err) {
	case objstore.KindThrottled:
		w.throttled++
		w.move()
	case objstore.KindTimeout, objstore.KindTransport, objstore.KindConflict:
	default:
		return err
	}
	w.failed++
	timer := time.NewTimer(afterFailure)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

func (l *sweepLoad) key(w *worker) string { return fmt.Sprintf("%s%05d", l.prefix, w.number) }

// request makes a request and counts its bytes.
func (l *sweepLoad) request(ctx context.Context, w *worker) error {
	switch l.op {
	case SweepPut:
		_, err := l.bucket.Put(ctx, l.key(w), &sending{bytes.NewReader(l.body), w}, l.size, objstore.Condition{}, objstore.Attributes{})
		if err == nil {
			w.bytes += l.size
		}
		return err
	case SweepHead:
		_, err := l.bucket.Stat(ctx, l.object(w).version.Key)
		return err
	case SweepList:
		for _, err := range l.bucket.List(ctx, objstore.ListOptions{Prefix: l.prefix}) {
			return err // one page
		}
		return errors.New("bench: a listing without a page")
	default:
		return l.get(ctx, w)
	}
}

// sending is the body of a worker's PUT: what is taken of it moves.
type sending struct {
	*bytes.Reader
	worker *worker
}

func (s *sending) Read(p []byte) (int, error) {
	s.worker.move()
	return s.Reader.Read(p)
}

func (l *sweepLoad) object(w *worker) object { return l.objects[w.rng.IntN(len(l.objects))] }

// get reads a range of the size at a multiple of it.
func (l *sweepLoad) get(ctx context.Context, w *worker) error {
	if w.buf == nil {
		w.buf = make([]byte, sweepBuffer)
	}
	v := l.object(w).version
	size := min(l.size, v.Size)
	body, err := l.bucket.Open(ctx, v, objstore.Range{Off: w.rng.Int64N(v.Size/size) * size, Len: size})
	if err != nil {
		return err
	}
	defer body.Close()
	for {
		n, err := body.Read(w.buf)
		if w.bytes += int64(n); n > 0 {
			w.move()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sum is what all workers did. Their rates are added up, since they do not end at the same time.
func sum(n int, all []*worker) SweepStep {
	step := SweepStep{Concurrency: n}
	var latencies measured
	for _, w := range all {
		step.Requests += w.reads
		step.Throttled += w.throttled
		step.Failed += w.failed
		if w.hangs {
			step.Hanging++
		}
		step.MiB += perSecond(w.bytes, w.elapsed) / mib
		step.PerSecond += perSecond(w.reads, w.elapsed)
		latencies.latencies = append(latencies.latencies, w.latencies...)
	}
	slices.Sort(latencies.latencies)
	step.P50, step.P99 = ms(latencies.percentile(0.50)), ms(latencies.percentile(0.99))
	return step
}

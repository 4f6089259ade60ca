package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// measured is what one side of a workload came to.
type measured struct {
	bytes      int64 // that were read
	reads      int64 // or files, where a workload reads files
	elapsed    time.Duration
	cpu        time.Duration   // of the reading threads, or of the whole process for the raw client
	latencies  []time.Duration // to the first byte of each read, sorted
	cut        bool            // time was up before it was through
	processors processors      // what they did meanwhile
}

// percentile is the latency that q of all reads stay below; zero without reads.
func (m measured) percentile(q float64) time.Duration {
	if len(m.latencies) == 0 {
		return 0
	}
	return m.latencies[min(int(q*float64(len(m.latencies))), len(m.latencies)-1)]
}

// add is m and then other.
func (m measured) add(other measured) measured {
	m.bytes += other.bytes
	m.reads += other.reads
	m.elapsed += other.elapsed
	m.cpu += other.cpu
	m.processors = m.processors.plus(other.processors)
	m.latencies = slices.Sorted(slices.Values(append(m.latencies, other.latencies...)))
	m.cut = m.cut || other.cut
	return m
}

// tally is one worker's part.
type tally struct {
	bytes, reads int64
	latencies    []time.Duration
}

func (t *tally) note(n int, latency time.Duration) {
	t.bytes += int64(n)
	t.reads++
	t.latencies = append(t.latencies, latency)
}

// crew runs so many workers at the same time and adds up what they did and took. Each works until it is through or ctx
// ends. That time is up is no error but a cut; the first error of a worker ends all, and so does ctx when it is
// cancelled.
func crew(ctx context.Context, workers int, side side, work func(ctx context.Context, worker int, t *tally) error) (m measured, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg      sync.WaitGroup
		tallies = make([]tally, workers)
		cpus    = make([]time.Duration, workers)
		cut     atomic.Bool
		failed  = make(chan error, workers)
	)
	start, before, processors := time.Now(), side.cpu(), processorTimes()
	for i := range workers {
		wg.Go(func() {
			cpus[i] = side.thread(func() {
				switch err := work(ctx, i, &tallies[i]); {
				case err == nil:
				case errors.Is(err, context.DeadlineExceeded) && timeUp(ctx):
					cut.Store(true)
				default:
					failed <- err
					cancel()
				}
			})
		})
	}
	wg.Wait()
	m = measured{elapsed: time.Since(start), cpu: side.cpu() - before, cut: cut.Load(), processors: processorTimes().minus(processors)}
	for i, t := range tallies {
		m.bytes += t.bytes
		m.reads += t.reads
		m.cpu += cpus[i]
		m.latencies = append(m.latencies, t.latencies...)
	}
	slices.Sort(m.latencies)
	select {
	case err = <-failed: // the first; those after it are mostly of the cancelling
	default:
		if !timeUp(ctx) {
			err = ctx.Err()
		}
	}
	return m, err
}

// timeUp tells whether ctx has ended because its time was up. A request of which a client says so may have had a limit
// of its own.
func timeUp(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// usage is the CPU time of this thread (unix.RUSAGE_THREAD) or process (unix.RUSAGE_SELF).
func usage(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

// The operations of a sweep.
const (
	SweepGet  = "get"
	SweepPut  = "put"
	SweepHead = "head"
	SweepList = "list"
)

// SweepOperations are all of them, in the order in which they are measured.
func SweepOperations() []string { return []string{SweepGet, SweepPut, SweepHead, SweepList} }

// SweepOptions say what a sweep measures. Zero fields take their defaults.
type SweepOptions struct {
	Operations  []string      // default all; with keys given, all but put
	Sizes       []int64       // of what a GET reads and a PUT stores, bytes; default 16 MiB
	Concurrency []int         // requests at once, step by step; default from 1 to 300
	Duration    time.Duration // of each step; default 3 s. What is under way then has as long again to end
}

const (
	defaultStep = 3 * time.Second
	// sweepObjects is how many objects GETs are spread over, so that no one of them, nor the node that has it, is what is
	// measured.
	sweepObjects = 16
)

func (o SweepOptions) withDefaults(reading bool) (SweepOptions, error) {
	if len(o.Operations) == 0 {
		o.Operations = SweepOperations()
		if reading {
			o.Operations = slices.DeleteFunc(o.Operations, func(op string) bool { return op == SweepPut })
		}
	}
	if len(o.Sizes) == 0 {
		o.Sizes = []int64{objstore.ChunkSize}
	}
	if len(o.Concurrency) == 0 {
		o.Concurrency = []int{1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 300}
	}
	if o.Duration == 0 {
		o.Duration = defaultStep
	}
	for _, op := range o.Operations {
		if !slices.Contains(SweepOperations(), op) {
			return o, fmt.Errorf("%w: there is no operation %q: %v are those", ErrOptions, op, SweepOperations())
		}
		if op == SweepPut && reading {
			return o, fmt.Errorf("%w: with objects given, nothing is written: leave put out", ErrOptions)
		}
	}
	if slices.Min(o.Sizes) < 1 || slices.Min(o.Concurrency) < 1 || o.Duration < 0 {
		return o, fmt.Errorf("%w: sizes, numbers of requests and times are at least 1", ErrOptions)
	}
	slices.Sort(o.Concurrency)
	o.Concurrency = slices.Compact(o.Concurrency)
	return o, nil
}

// Sweep measures how a store answers to so many requests at once, by the raw client alone. opts say which store,
// whether to read objects that are there (Keys), where a server of its own has its files, and who hears of progress;
// the rest of them is not used. What was measured comes with the error too.
//
// A curve ends early when a step brings less than half of the best one, or hangs: from there on a store may serve
// nobody.
func Sweep(ctx context.Context, opts Options, what SweepOptions) (report *SweepReport, err error) {
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	if what, err = what.withDefaults(len(opts.Keys) > 0); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.Dir, "headrace-sweep-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	opts.conns = what.Concurrency[len(what.Concurrency)-1]
	t, err := openTarget(ctx, opts, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	report = &SweepReport{Endpoint: t.endpoint, CPUs: runtime.NumCPU(), Started: time.Now()}
	for _, op := range what.Operations {
		sizes := what.Sizes
		if op == SweepHead || op == SweepList {
			sizes = sizes[:1] // nothing of that size is sent
		}
		for _, size := range sizes {
			load, err := t.load(ctx, opts, op, size)
			if err != nil {
				return report, fmt.Errorf("%s: %w", op, err)
			}
			curve, err := load.curve(ctx, what, opts.Progress)
			report.Curves = append(report.Curves, curve)
			if err != nil {
				return report, fmt.Errorf("%s: %w", op, err)
			}
		}
	}
	report.Advice = advise(report.Curves)
	return report, nil
}

// load makes what op needs of objects.
func (t *target) load(ctx context.Context, opts Options, op string, size int64) (*sweepLoad, error) {
	l := &sweepLoad{op: op, size: size, bucket: t.raw, target: t}
	made := size
	if op == SweepHead || op == SweepList {
		l.size, made = 0, kib
	}
	if op == SweepPut {
		l.prefix, l.body = t.prefix+"put-"+rand.Text()[:8]+"/", make([]byte, size)
		t.maker.content.fill(l.body, l.prefix, 0)
		return l, nil
	}
	if len(opts.Keys) > 0 {
		found, err := find(ctx, t.raw, opts.Keys)
		l.objects, l.prefix = found.dataset, opts.Prefix
		return l, err
	}
	fmt.Fprintf(opts.Progress, "%s: preparing %d objects\n", op, sweepObjects)
	name := fmt.Sprintf("%s-%d/", op, made)
	l.prefix = t.prefix + name // a LIST is of these objects, whatever else was measured before
	for i := range sweepObjects {
		o, err := t.maker.putLarge(ctx, fmt.Sprintf("%s%02d", name, i), made)
		if err != nil {
			return nil, err
		}
		o.version.Endpoint = t.raw.Endpoint()
		l.objects = append(l.objects, o)
	}
	return l, nil
}

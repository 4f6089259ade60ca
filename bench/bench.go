package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// Options say what to measure, and where. The zero value measures everything against a server of its own.
type Options struct {
	// Bucket to use; "" starts a versitygw over a temporary folder and takes it down afterwards.
	Bucket string
	// Prefix below which a fresh one is made for the objects of this run, which are removed afterwards.
	Prefix string
	// Keys of objects to read instead of making any: the largest is read sequentially and at random, the four largest as
	// streams, and all of them as files. Required with ReadOnly.
	Keys []string
	// ReadOnly writes nothing and removes nothing.
	ReadOnly bool

	// How to reach the store; each as the flag of the same name. They are handed to the mount as they are.
	Endpoint      string
	Region        string
	Profile       string
	PathStyle     bool // false leaves the choice to s3store
	NoSignRequest bool
	RequesterPays bool

	// Binary is the headrace to mount with. "" means the running program.
	Binary string
	// MountArgs are further flags for `headrace mount`, for instance "--memory=1GiB".
	MountArgs []string

	// FirstByte and Rate shape the traffic of raw client and mount alike, as a distant store would: so long to the first
	// byte of each response, and so many bytes a second on each connection. Zero means unshaped. Plain HTTP only.
	FirstByte time.Duration
	Rate      int64

	// Workloads by name or by the beginning of names; empty means all. See Workloads.
	Workloads []string
	// Size of the large object in bytes; 0 means 2 GiB.
	Size int64
	// SmallFiles is how many files of 100 KiB are read; 0 means 2000.
	SmallFiles int
	// Duration of each random workload; 0 means 8 s. The others end when they are through, and after ten times as long at
	// the latest; they are reported as cut then.
	Duration time.Duration

	// Dir for the server's folder and the mount point; "" means the system's temporary folder.
	Dir string
	// Progress is told a line for each thing begun; nil for nobody.
	Progress io.Writer

	stallGrace time.Duration // 0 means defaultStallGrace
	conns      int           // of the raw client; 0 means s3store's default
}

const (
	defaultSize     = 2 * gib
	defaultFiles    = 2000
	defaultDuration = 8 * time.Second
	// boundFactor times the duration is when a workload that should end by itself is cut off.
	boundFactor = 10
	// leastBound is so long that a store which answers at all has begun to.
	leastBound = 5 * time.Second
	// defaultStallGrace is how long the last reads of a workload may take after its time is up, before the mount is
	// killed: a system call or a page fault that waits for the daemon ends in no other way. It is twice what the mount
	// waits for a store that sends nothing, before it asks again.
	defaultStallGrace = 30 * time.Second
	// cleanDeadline bounds the removal of what the run has made, and hurriedDeadline that after Ctrl-C: somebody waits for
	// it. What is left then is told.
	cleanDeadline   = 2 * time.Minute
	hurriedDeadline = 15 * time.Second
)

var (
	// ErrOptions says that the options make no sense; nothing was done then.
	ErrOptions = errors.New("bench: not possible")
	// ErrStalled says that a side read nothing in the time of a workload, or that a read through the mount did not return.
	ErrStalled = errors.New("bench: stalled")
)

func (o Options) withDefaults() (Options, error) {
	if o.ReadOnly && len(o.Keys) == 0 {
		return o, fmt.Errorf("%w: read-only needs keys of objects to read", ErrOptions)
	}
	if len(o.Keys) > 0 && o.Bucket == "" {
		return o, fmt.Errorf("%w: keys need a bucket", ErrOptions)
	}
	if o.Size < 0 || o.SmallFiles < 0 || o.Duration < 0 || o.FirstByte < 0 || o.Rate < 0 {
		return o, fmt.Errorf("%w: sizes and times cannot be negative", ErrOptions)
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("bench: %w", err)
		}
		o.Binary = self
	}
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if o.SmallFiles == 0 {
		o.SmallFiles = defaultFiles
	}
	if o.Duration == 0 {
		o.Duration = defaultDuration
	}
	if o.stallGrace == 0 {
		o.stallGrace = defaultStallGrace
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	o.Prefix = joinPrefix(o.Prefix)
	return o, nil
}

// Run measures what opts name and returns the report. When ctx ends it stops what is under way, takes down mounts and
// server, removes its objects, and returns what was measured so far together with the context's error. Objects that
// could not be removed are a [*LeftoverError] in the error.
func Run(ctx context.Context, opts Options) (report *Report, err error) {
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	chosen, err := choose(opts.Workloads)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.Dir, "headrace-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := openTarget(ctx, opts, dir)
	if err != nil {
		return nil, err
	}
	t.disk = localDisk{dir: filepath.Join(dir, "disk")}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	fmt.Fprintln(opts.Progress, "preparing objects")
	if err := t.prepare(ctx, opts, chosen); err != nil {
		return nil, err
	}
	report = &Report{
		Endpoint: t.endpoint, CPUs: runtime.NumCPU(), Size: t.objects.large.version.Size, FirstByte: opts.FirstByte, Rate: opts.Rate,
		MountArgs: opts.MountArgs, Started: time.Now(),
	}
	for i, w := range chosen {
		row, err := t.measure(ctx, opts, w, mountpoint(dir, i))
		if err != nil {
			return report, fmt.Errorf("%s: %w", w.name, err)
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// measure runs a workload on both sides, each with a bound in time.
func (t *target) measure(ctx context.Context, opts Options, w workload, dir string) (Row, error) {
	if reason := t.impossible(w); reason != "" {
		fmt.Fprintf(opts.Progress, "%s: not measured: %s\n", w.name, reason)
		return Row{Workload: w.name, Against: w.against(), Skipped: reason}, nil
	}
	fmt.Fprintf(opts.Progress, "%s: %s\n", w.name, w.stage.reference())
	reference, err := t.reference(ctx, opts, w, dir)
	if err != nil {
		return Row{}, fmt.Errorf("%s: %w", w.stage.reference(), err)
	}
	fmt.Fprintf(opts.Progress, "%s: mount\n", w.name)
	mount, daemon, err := t.mounted(ctx, opts, w, t.visit(opts, w, dir))
	if err != nil {
		return Row{}, fmt.Errorf("mount: %w", err)
	}
	return row(w, reference, mount, daemon), nil
}

// readRaw runs a workload by the raw client.
func (t *target) readRaw(ctx context.Context, opts Options, w workload) (measured, error) {
	if err := claimMemory(ctx, w.memory(t.objects)); err != nil {
		return measured{}, err
	}
	limited, cancel := context.WithTimeout(ctx, w.bound(opts.Duration))
	defer cancel()
	m, err := w.raw(limited, rawSide{t.raw}, t.objects, t.check)
	return m, w.judge(ctx, m, err)
}

// mounted runs a workload on a fresh mount.
func (t *target) mounted(ctx context.Context, opts Options, w workload, v visit) (m measured, used spent, err error) {
	if err := claimMemory(ctx, w.memory(t.objects)); err != nil {
		return m, used, err
	}
	if v.scratch != "" {
		defer func() { err = errors.Join(err, os.RemoveAll(v.scratch)) }()
	}
	c, err := startMount(ctx, opts.Binary, v.dir, t.env, slices.Concat(t.mountArgs(opts), v.readOnly(), opts.MountArgs, v.args))
	if err != nil {
		return m, used, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	defer context.AfterFunc(ctx, c.kill)()
	if v.prepare != nil {
		if err := v.prepare(ctx, c); err != nil {
			return m, used, err
		}
	}
	before, err := c.spent(ctx)
	if err != nil {
		return m, used, err
	}
	if m, err = v.read(ctx, c); err != nil {
		return m, used, err
	}
	after, err := c.spent(ctx)
	return m, after.since(before), err
}

// readMount runs a workload on c.
func (t *target) readMount(ctx context.Context, opts Options, w workload, c *child) (measured, error) {
	return t.bounded(ctx, opts, w, c, func(ctx context.Context) (measured, error) { return w.files(ctx, c.dir, t.objects, t.check) })
}

// bounded runs do, which is w on c, until w's time is up, and kills the daemon when a system call does not return after
// it.
func (t *target) bounded(ctx context.Context, opts Options, w workload, c *child, do func(context.Context) (measured, error)) (m measured, err error) {
	bound := w.bound(opts.Duration)
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	stalled := time.AfterFunc(bound+opts.stallGrace, c.kill)
	m, err = do(limited)
	if !stalled.Stop() {
		return m, errors.Join(fmt.Errorf("%w: a system call did not return within %v after time was up", ErrStalled, opts.stallGrace), err)
	}
	return m, w.judge(ctx, m, err)
}

// bound is how long a workload may take.
func (w workload) bound(duration time.Duration) time.Duration {
	if w.endsItself() {
		return max(duration*boundFactor, leastBound)
	}
	return duration
}

// judge is the error of a workload that came to m and err: figures of a side that read nothing are none.
func (w workload) judge(ctx context.Context, m measured, err error) error {
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case m.reads == 0 && w.kind != kindIdle:
		return fmt.Errorf("%w: nothing was read within %v", ErrStalled, m.elapsed)
	}
	return nil
}

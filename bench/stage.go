package bench

import (
	"context"
	"fmt"
)

// stage is where a workload's bytes are when it begins to read.
type stage int

const (
	stageStore      stage = iota // in the store alone
	stageFirst                   // in the store alone, with a disk cache to be filled
	stageDisk                    // all in the disk cache, for the kernel to read by itself where it can
	stageDaemon                  // all in the disk cache, and the kernel asks the daemon: what a mount costs that has no memory of it
	stageDaemonFile              // the same, for what the disk lets it do
	stageTwice                   // in the store, with a disk cache for half of them that has seen an epoch
	stageWrite                   // nowhere: they are written, until the store has them
	stageStaging                 // nowhere: it is measured how fast write(2) is
)

// reference is what a mount is compared with at this stage.
func (s stage) reference() string {
	switch s {
	case stageFirst:
		return "no disk cache"
	case stageDisk, stageDaemonFile, stageStaging:
		return "local file"
	case stageDaemon:
		return "memory"
	}
	return "raw client"
}

// against is what w is compared with; "" for nothing.
func (w workload) against() string {
	if w.kind == kindIdle {
		return ""
	}
	return w.stage.reference()
}

const (
	// measuredEpochs of a dataset twice the cache are read after the first, and their figures added up.
	measuredEpochs = 3
	// memoryShare is the part of a dataset that --memory may hold where the disk cache is to answer.
	memoryShare = 16
)

// visit is a mount for one workload, and what is done with it.
type visit struct {
	dir     string
	args    []string                            // of this workload, after all others
	scratch string                              // a disk cache, or staging files, that are removed afterwards; "" for none
	writes  bool                                // the mount is not read-only
	prepare func(context.Context, *child) error // what is not measured; nil for nothing
	read    func(context.Context, *child) (measured, error)
}

// readOnly is the flag of a mount that nothing is written to.
func (v visit) readOnly() []string {
	if v.writes {
		return nil
	}
	return []string{"--read-only"}
}

// plainVisit reads w once.
func (t *target) plainVisit(opts Options, w workload, dir string) visit {
	return visit{dir: dir, read: func(ctx context.Context, c *child) (measured, error) { return t.readMount(ctx, opts, w, c) }}
}

// visit is how w is measured through a mount at dir.
func (t *target) visit(opts Options, w workload, dir string) visit {
	v := t.plainVisit(opts, w, dir)
	if w.kind == kindFirstByte { // of a file that nothing has brought before
		v.args = []string{"--siblings=off"}
	}
	switch w.stage {
	case stageWrite, stageStaging:
		return t.writeVisit(opts, w, dir)
	case stageFirst:
		v.scratch = dir + ".cache"
		v.args = []string{"--cache-dir=" + v.scratch}
		v.prepare = func(ctx context.Context, _ *child) error { return t.rewarm(ctx, w) }
	case stageDisk:
		v.args = []string{"--cache-dir=" + t.disk.cache(), "--immutable"}
		v.prepare = func(ctx context.Context, c *child) error {
			if err := c.awaitPassthrough(ctx, w.passable(t.objects)); err != nil {
				return err
			}
			if err := t.emptyPageCache(ctx, w); err != nil || !w.warm {
				return err
			}
			_, err := t.readMount(ctx, opts, w.warming(), c)
			return err
		}
	case stageDaemon, stageDaemonFile:
		v.args = []string{"--cache-dir=" + t.disk.cache(), "--passthrough=off"}
		v.prepare = func(ctx context.Context, _ *child) error { return t.emptyPageCache(ctx, w) }
	case stageTwice:
		size := total(t.objects.dataset)
		v.scratch = dir + ".cache"
		v.args = []string{"--cache-dir=" + v.scratch, inMiB("--cache-size", size/2), inMiB("--memory", max(size/memoryShare, leastMemory))}
		v.prepare = func(ctx context.Context, c *child) error {
			_, err := t.readMount(ctx, opts, w, c)
			return err
		}
		v.read = func(ctx context.Context, c *child) (measured, error) { return t.readEpochs(ctx, opts, w, c) }
	}
	return v
}

// reference measures what w is compared with. Where that is a mount, it is at dir.
func (t *target) reference(ctx context.Context, opts Options, w workload, dir string) (measured, error) {
	if w.stage == stageDisk || w.stage == stageDaemon || w.stage == stageDaemonFile {
		if err := t.fill(ctx, opts, dir); err != nil {
			return measured{}, err
		}
	}
	switch w.stage {
	case stageWrite, stageStaging:
		return t.writeReference(ctx, opts, w, dir)
	case stageFirst:
		v := t.plainVisit(opts, w, dir)
		v.prepare = func(ctx context.Context, _ *child) error { return t.rewarm(ctx, w) }
		m, _, err := t.mounted(ctx, opts, w, v)
		return m, err
	case stageDisk, stageDaemonFile:
		return t.readPlain(ctx, opts, w)
	case stageDaemon:
		return t.readMemory(ctx, opts, w, dir)
	case stageTwice:
		if err := t.rewarm(ctx, w); err != nil {
			return measured{}, err
		}
	}
	return t.readRaw(ctx, opts, w)
}

// readMemory runs a workload on a mount that has all of it in its memory: read by O_DIRECT, since what the page cache
// has a mount does not keep.
func (t *target) readMemory(ctx context.Context, opts Options, w workload, dir string) (measured, error) {
	v := t.plainVisit(opts, w, dir)
	v.args = []string{inMiB("--memory", memoryFor(w.spans(t.objects)))}
	v.prepare = func(ctx context.Context, c *child) error {
		first := w
		first.direct = true
		if _, err := t.readMount(ctx, opts, first, c); err != nil {
			return err
		}
		return t.emptyPageCache(ctx, w)
	}
	m, used, err := t.mounted(ctx, opts, w, v)
	if err == nil && used.fetched > 0 {
		err = fmt.Errorf("bench: %d bytes were not in memory, although it has room for them", used.fetched)
	}
	return m, err
}

// memoryFor is the --memory that keeps what is read, and has room to read it.
func memoryFor(spans []span) (n int64) {
	for _, s := range spans {
		n += s.Len
	}
	return n + n/8 + 256*mib
}

// leastMemory is the least that --memory takes.
const leastMemory = 32 * mib

func inMiB(flag string, size int64) string { return fmt.Sprintf("%s=%dMiB", flag, size/mib) }

// readPlain runs a workload on plain files.
func (t *target) readPlain(ctx context.Context, opts Options, w workload) (m measured, err error) {
	if err := t.emptyPageCache(ctx, w); err != nil {
		return m, err
	}
	if w.warm {
		if _, err := w.warming().files(ctx, t.disk.plain(), t.objects, noCheck); err != nil {
			return m, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, w.bound(opts.Duration))
	defer cancel()
	m, err = w.files(limited, t.disk.plain(), t.objects, t.check)
	return m, w.judge(ctx, m, err)
}

// readEpochs reads a dataset some times, each time with nothing of it in the page cache: what that holds is not the
// disk cache's.
func (t *target) readEpochs(ctx context.Context, opts Options, w workload, c *child) (m measured, err error) {
	for w.epoch = 1; w.epoch <= measuredEpochs; w.epoch++ {
		if err := t.rewarm(ctx, w); err != nil {
			return m, err
		}
		one, err := t.readMount(ctx, opts, w, c)
		if m = m.add(one); err != nil {
			return m, err
		}
	}
	return m, nil
}

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kind is what a workload does.
type kind int

const (
	kindIdle       kind = iota
	kindSequential      // one reader, one object
	kindStreams         // a reader for each of several objects
	kindThreads         // several threads on one descriptor, each its part
	kindMapped          // one reader through a mapping
	kindRandom          // reads of one size anywhere in one object
	kindFiles           // many small files, whole
	kindFirstByte       // opening and the first page, one after another
	kindEpoch           // the files of a dataset, whole
	kindWrite           // a writer for each of several large files
	kindWriteFiles      // many small files
	kindCheckpoint      // a large file under a temporary name, renamed
	kindAppend          // a little to a large object
	kindCopyTree        // many small files, by a program
	kindStage           // write(2) alone
)

// firstBytes is what is read to measure opening: a page.
const firstBytes = 4 * kib

// workload is one line of the report.
type workload struct {
	name    string
	kind    kind
	stage   stage
	readers int
	size    int64 // of a random read

	direct   bool // files are opened with O_DIRECT
	warm     bool // the page cache holds what is read; else, but for stageStore, nothing of it
	shuffled bool // each epoch has an order of its own
	epoch    int  // which one is read; the first is 0
	synced   bool // a checkpoint is synced before it is renamed, rather than closed afterwards

	program string // that copies a tree: rsync, tar, or git, which commits it there; "" for cp
	back    bool   // the mount has --write-back, and is compared with a plain directory
}

// allWorkloads in the order in which they run.
func allWorkloads() []workload {
	all := []workload{
		{name: "idle", kind: kindIdle},
		{name: "sequential-1", kind: kindSequential, readers: 1},
		{name: "sequential-4", kind: kindStreams, readers: streams},
		{name: "threads-4", kind: kindThreads, readers: streams},
		{name: "mmap", kind: kindMapped, readers: 1},
	}
	for _, size := range []int64{4 * kib, 64 * kib, 256 * kib} {
		for _, readers := range []int{1, 8} {
			name := fmt.Sprintf("random-%dk-%d", size/kib, readers)
			all = append(all, workload{name: name, kind: kindRandom, readers: readers, size: size})
		}
	}
	all = append(all,
		workload{name: "small-files", kind: kindFiles, readers: 8},
		workload{name: "first-byte", kind: kindFirstByte, readers: 1})
	return append(append(all, writeWorkloads()...), diskWorkloads()...)
}

// diskWorkloads are those of the disk cache. They come last, since what they drop the store must read again.
func diskWorkloads() []workload {
	return []workload{
		{name: "disk-first-epoch", kind: kindSequential, stage: stageFirst, readers: 1},
		{name: "disk-sequential-1", kind: kindSequential, stage: stageDisk, readers: 1},
		{name: "disk-sequential-4", kind: kindStreams, stage: stageDisk, readers: streams},
		{name: "disk-random-4k", kind: kindRandom, stage: stageDisk, readers: 1, size: 4 * kib},
		{name: "disk-random-4k-warm", kind: kindRandom, stage: stageDisk, readers: 1, size: 4 * kib, warm: true},
		{name: "disk-random-4k-direct", kind: kindRandom, stage: stageDisk, readers: 8, size: 4 * kib, direct: true},
		{name: "disk-small-files", kind: kindFiles, stage: stageDisk, readers: 8},
		{name: "disk-small-files-warm", kind: kindFiles, stage: stageDisk, readers: 8, warm: true},
		{name: "disk-daemon", kind: kindSequential, stage: stageDaemon, readers: 1},
		{name: "disk-daemon-file", kind: kindSequential, stage: stageDaemonFile, readers: 1},
		{name: "disk-twice-cycle", kind: kindEpoch, stage: stageTwice, readers: 4},
		{name: "disk-twice-shuffle", kind: kindEpoch, stage: stageTwice, readers: 4, shuffled: true},
	}
}

// Workloads are the names that Options.Workloads may hold. The beginning of names stands for all of them: "random".
func Workloads() []string {
	var names []string
	for _, w := range allWorkloads() {
		names = append(names, w.name)
	}
	return names
}

// choose is the workloads that names stand for; all for none.
func choose(names []string) ([]workload, error) {
	if len(names) == 0 {
		return allWorkloads(), nil
	}
	var chosen []workload
	for _, w := range allWorkloads() {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(w.name, name) }) {
			chosen = append(chosen, w)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(w workload) bool { return strings.HasPrefix(w.name, name) }) {
			return nil, fmt.Errorf("%w: no workload %q: there are %s", ErrOptions, name, strings.Join(Workloads(), ", "))
		}
	}
	return chosen, nil
}

// endsItself tells whether w is through some time, rather than when time is up.
func (w workload) endsItself() bool { return w.kind != kindRandom }

// spans are what a sequential workload reads.
func (w workload) spans(o objects) []span {
	switch w.kind {
	case kindStreams:
		var spans []span
		for _, s := range o.streams {
			spans = append(spans, whole(s))
		}
		return spans
	case kindThreads:
		return quarters(o.large, int64(w.readers))
	default:
		return []span{whole(o.large)}
	}
}

// memory is how much of the machine's memory w has use for, at most: what it reads may be in the page cache, and some
// of it in the daemon.
func (w workload) memory(o objects) int64 {
	n := int64(0)
	switch w.kind {
	case kindIdle, kindFirstByte:
		return 0
	case kindFiles:
		n = total(o.small)
	case kindEpoch:
		n = total(o.dataset)
	default:
		for _, s := range w.spans(o) {
			n += s.Len
		}
	}
	return n + gib/2
}

// raw measures w by the raw client.
func (w workload) raw(ctx context.Context, s rawSide, o objects, check checker) (measured, error) {
	switch w.kind {
	case kindIdle:
		return measured{}, nil
	case kindSequential, kindStreams, kindThreads, kindMapped:
		return readRaw(ctx, s, w.spans(o), check)
	default:
		return w.same(ctx, s, o, check)
	}
}

// files measures w by files: those of a mount, or plain ones.
func (w workload) files(ctx context.Context, dir string, o objects, check checker) (measured, error) {
	s := fileSide{dir: dir}
	if w.direct {
		s.flags = unix.O_DIRECT
	}
	switch w.kind {
	case kindIdle:
		return measured{}, nil
	case kindMapped:
		return readMapped(ctx, s, w.spans(o), check)
	case kindSequential, kindStreams, kindThreads:
		return readStreams(ctx, s, w.spans(o), check)
	default:
		return w.same(ctx, s, o, check)
	}
}

// same is the workloads that are the same program on both sides.
func (w workload) same(ctx context.Context, s side, o objects, check checker) (measured, error) {
	switch w.kind {
	case kindRandom:
		return readRandom(ctx, s, o.large, w, check)
	case kindEpoch:
		return readFiles(ctx, s, w.order(o.dataset), w.readers, 0, check)
	}
	for _, dir := range o.dirs {
		if err := s.list(dir); err != nil {
			return measured{}, err
		}
	}
	part := int64(0)
	if w.kind == kindFirstByte {
		part = firstBytes
	}
	return readFiles(ctx, s, w.order(o.small), w.readers, part, check)
}

// order is that in which w reads files: never the directory's, but for a dataset that is read in a cycle.
func (w workload) order(files []object) []object {
	if w.kind == kindEpoch && !w.shuffled {
		return files
	}
	out := make([]object, len(files))
	for i, n := range rand.New(rand.NewPCG(2, uint64(2+w.epoch))).Perm(len(files)) {
		out[i] = files[n]
	}
	return out
}

// warming is what brings the bytes of w into the page cache.
func (w workload) warming() workload {
	if w.kind == kindRandom {
		w.kind, w.readers, w.direct = kindSequential, 1, false
	}
	return w
}

// passableSize is the size from which on a mount lets the kernel read files by itself.
const passableSize = mib

// passable are the paths of what w reads that the kernel may read by itself.
func (w workload) passable(o objects) (paths []string) {
	if w.kind == kindFiles {
		return nil
	}
	for _, s := range w.spans(o) {
		if s.version.Size >= passableSize {
			paths = append(paths, s.path)
		}
	}
	return paths
}

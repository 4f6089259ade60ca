package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
)

// firstBytes is what is read to measure opening: a page.
const firstBytes = 4 * kib

// workload is one line of the report.
type workload struct {
	name    string
	kind    kind
	readers int
	size    int64 // of a random read
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
	return append(all,
		workload{name: "small-files", kind: kindFiles, readers: 8},
		workload{name: "first-byte", kind: kindFirstByte, readers: 1})
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

// memory is how much of the machine's memory w has use for, at most: what it reads may be in the page cache, and some of it
// in the daemon.
func (w workload) memory(o objects) int64 {
	n := int64(0)
	switch w.kind {
	case kindIdle, kindFirstByte:
		return 0
	case kindFiles:
		for _, s := range o.small {
			n += s.version.Size
		}
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

// mounted measures w through a mount.
func (w workload) mounted(ctx context.Context, s mountSide, o objects, check checker) (measured, error) {
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
	if w.kind == kindRandom {
		return readRandom(ctx, s, o.large, w.readers, w.size, check)
	}
	for _, dir := range o.dirs {
		if err := s.list(dir); err != nil {
			return measured{}, err
		}
	}
	if w.kind == kindFiles {
		return readFiles(ctx, s, o.small, w.readers, 0, check)
	}
	return readFiles(ctx, s, o.small, w.readers, firstBytes, check)
}

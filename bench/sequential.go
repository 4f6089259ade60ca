package bench

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

const (
	// rawConnections and rawRange are the raw client of sequential workloads: what the stores' makers advise.
	rawConnections = 16
	rawRange       = 16 * mib
	// readSize is what a program reads at a time: cp and dd bs=1M do, Python's readers somewhat less.
	readSize = mib
)

// span is a part of an object that one reader reads from its start to its end.
type span struct {
	object
	objstore.Range
}

// whole is all of an object.
func whole(o object) span { return span{o, objstore.Range{Len: o.version.Size}} }

// quarters are n parts of an object, on page boundaries; fewer where it is that small.
func quarters(o object, n int64) []span {
	var spans []span
	size := o.version.Size
	step := max(((size+n-1)/n+pageSize-1)&^(pageSize-1), pageSize)
	for off := int64(0); off < size; off += step {
		spans = append(spans, span{o, objstore.Range{Off: off, Len: min(step, size-off)}})
	}
	return spans
}

// readRaw reads spans by 16 MiB ranges over 16 connections, each into a buffer of its own: who wants bytes must have
// them somewhere.
func readRaw(ctx context.Context, s side, spans []span, check checker) (measured, error) {
	ranges := make(chan span)
	buffers := make([][]byte, rawConnections)
	for i := range buffers {
		buffers[i] = make([]byte, rawRange)
		clear(buffers[i]) // touched, so that the kernel's work for new memory is not measured
	}
	var unread error // why ranges were left; set before the channel is closed
	var feeding sync.WaitGroup
	defer feeding.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	feeding.Go(func() {
		defer close(ranges)
		for _, r := range interleave(spans) {
			select {
			case ranges <- r:
			case <-ctx.Done():
				unread = ctx.Err()
				return
			}
		}
	})
	return crew(ctx, rawConnections, s, func(ctx context.Context, worker int, t *tally) error {
		for r := range ranges {
			start := time.Now()
			from, err := s.open(r.object)
			if err != nil {
				return err
			}
			p := buffers[worker][:r.Len]
			if err := from.ReadAt(ctx, p, r.Off); err != nil {
				return err
			}
			if err := check(p, r.object, r.Off); err != nil {
				return err
			}
			t.note(len(p), time.Since(start))
		}
		return unread
	})
}

// interleave cuts spans into ranges for the raw client, the first of each, then the second of each, and so on.
func interleave(spans []span) []span {
	var out []span
	for off := int64(0); ; off += rawRange {
		more := false
		for _, s := range spans {
			if off < s.Len {
				out = append(out, span{s.object, objstore.Range{Off: s.Off + off, Len: min(rawRange, s.Len-off)}})
				more = true
			}
		}
		if !more {
			return out
		}
	}
}

// readStreams reads each span by a reader of its own. Spans of one object share a descriptor. The latency noted is that
// from the opening of the object to the first bytes of each span.
func readStreams(ctx context.Context, s side, spans []span, check checker) (measured, error) {
	start := time.Now()
	opened := make(map[string]reader)
	defer func() {
		for _, r := range opened {
			r.Close()
		}
	}()
	for _, p := range spans {
		if opened[p.path] != nil {
			continue
		}
		r, err := s.open(p.object)
		if err != nil {
			return measured{}, err
		}
		opened[p.path] = r
	}
	opening := time.Since(start)
	m, err := crew(ctx, len(spans), s, func(ctx context.Context, worker int, t *tally) error {
		p := spans[worker]
		from, buf := opened[p.path], make([]byte, readSize)
		for off := p.Off; off < p.End(); off += readSize {
			part := buf[:min(readSize, p.End()-off)]
			if err := from.ReadAt(ctx, part, off); err != nil {
				return err
			}
			if err := check(part, p.object, off); err != nil {
				return err
			}
			t.progress(len(part), start)
		}
		return nil
	})
	m.elapsed += opening
	return m, err
}

// readMapped reads a span through a mapping, by copying from it.
func readMapped(ctx context.Context, s side, spans []span, check checker) (measured, error) {
	p := spans[0]
	start := time.Now()
	r, err := s.open(p.object)
	if err != nil {
		return measured{}, err
	}
	defer r.Close()
	file, ok := r.(fileReader)
	if !ok {
		return measured{}, fmt.Errorf("bench: %T cannot be mapped", r)
	}
	data, err := unix.Mmap(file.fd, 0, int(p.Len), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return measured{}, fmt.Errorf("bench: map %s: %w", file.path, err)
	}
	defer func() { _ = unix.Munmap(data) }() // fails only for what was not mapped
	defer prepareForFaults()()
	return crew(ctx, 1, s, func(ctx context.Context, _ int, t *tally) (err error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if fault := recover(); fault != nil {
				err = fmt.Errorf("bench: read of mapped %s: %v", file.path, fault)
			}
		}()
		buf := make([]byte, readSize)
		for off := int64(0); off < p.Len; off += readSize {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := copy(buf, data[off:])
			if err := check(buf[:n], p.object, off); err != nil {
				return err
			}
			t.progress(n, start)
		}
		return nil
	})
}

// prepareForFaults lets the rest of the program run while a thread is in a page fault, which may last as long as the
// daemon likes and cannot be interrupted: whoever would kill the daemon must not wait for that thread. A collection
// would, with the world stopped, and so would all goroutines if there were one processor for them. It returns what
// undoes it.
func prepareForFaults() (undo func()) {
	percent := debug.SetGCPercent(-1)
	processors := runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	return func() {
		runtime.GOMAXPROCS(processors)
		debug.SetGCPercent(percent)
	}
}

// progress notes n more bytes of a stream that began at start; the first are its latency.
func (t *tally) progress(n int, start time.Time) {
	if t.latencies == nil {
		t.latencies = []time.Duration{time.Since(start)}
	}
	t.bytes += int64(n)
	t.reads++
}

package bench

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"
)

// readRandom reads w.size bytes at random page boundaries of one object until time is up. The offsets are the same on
// both sides, as far as each gets.
func readRandom(ctx context.Context, s side, o object, w workload, check checker) (measured, error) {
	size := min(w.size, o.version.Size)
	r, err := s.open(o)
	if err != nil {
		return measured{}, err
	}
	defer r.Close()
	places := max((o.version.Size-size)/pageSize, 1)
	return crew(ctx, w.readers, s, func(ctx context.Context, worker int, t *tally) error {
		rng, buf := rand.New(rand.NewPCG(1, uint64(worker))), pageAligned(size)
		for ctx.Err() == nil {
			off := rng.Int64N(places) * pageSize
			start := time.Now()
			if err := r.ReadAt(ctx, buf, off); err != nil {
				return err
			}
			t.note(len(buf), time.Since(start))
			if err := check(buf, o, off); err != nil {
				return err
			}
		}
		return nil
	})
}

// pageAligned is a buffer that direct I/O can read into.
func pageAligned(size int64) []byte {
	buf := make([]byte, size+pageSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (pageSize - 1)
	return buf[skip:][:size]
}

// readFiles opens, reads and closes each object once, in their order; first bytes only, when part is not 0. The latency
// is that from before the opening to the bytes.
func readFiles(ctx context.Context, s side, objects []object, readers int, part int64, check checker) (measured, error) {
	var next atomic.Int64
	return crew(ctx, readers, s, func(ctx context.Context, _ int, t *tally) error {
		var buf []byte
		for {
			i := next.Add(1) - 1
			if i >= int64(len(objects)) {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			o := objects[i]
			n := o.version.Size
			if part != 0 {
				n = min(n, part)
			}
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			start := time.Now()
			if err := readFile(ctx, s, o, buf[:n]); err != nil {
				return err
			}
			t.note(int(n), time.Since(start))
			if err := check(buf[:n], o, 0); err != nil {
				return err
			}
		}
	})
}

func readFile(ctx context.Context, s side, o object, p []byte) error {
	r, err := s.open(o)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.ReadAt(ctx, p, 0)
}

package bench

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// How the workers end says how the crew does: time that is up is a cut, and every other end is an error.
func TestCrewEnds(t *testing.T) {
	wrong := errors.New("wrong bytes")
	const limit = time.Second
	for name, c := range map[string]struct {
		work func(ctx context.Context) error
		cut  bool
		err  error
	}{
		"through":                 {func(context.Context) error { return nil }, false, nil},
		"time is up":              {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, true, nil},
		"through, time is up":     {func(ctx context.Context) error { <-ctx.Done(); return nil }, false, nil},
		"a request's own time up": {func(context.Context) error { return context.DeadlineExceeded }, false, context.DeadlineExceeded},
		"wrong bytes":             {func(context.Context) error { return wrong }, false, wrong},
		"wrong bytes, time is up": {func(ctx context.Context) error { <-ctx.Done(); return wrong }, false, wrong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				m, err := crew(ctx, 2, rawSide{}, func(ctx context.Context, _ int, _ *tally) error { return c.work(ctx) })
				if m.cut != c.cut || !errors.Is(err, c.err) {
					t.Errorf("cut %v, %v", m.cut, err)
				}
			})
		})
	}
}

// One worker's error ends the others, and is the one that is told; so is the end of the context.
func TestCrewIsCancelled(t *testing.T) {
	wrong := errors.New("wrong bytes")
	_, err := crew(t.Context(), 4, rawSide{}, func(ctx context.Context, worker int, _ *tally) error {
		if worker == 2 {
			return wrong
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := crew(ctx, 1, rawSide{}, func(context.Context, int, *tally) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// slowSide takes a time for each read that no context ends, as the kernel does.
type slowSide struct {
	rawSide
	each time.Duration
}

func (s slowSide) open(object) (reader, error) { return slowReader(s), nil }

type slowReader slowSide

func (r slowReader) ReadAt(context.Context, []byte, int64) error { time.Sleep(r.each); return nil }
func (slowReader) Close() error                                  { return nil }

// The raw client is cut as well when its workers find no more to do because the ranges ended with the time.
func TestRawClientIsCut(t *testing.T) {
	for size, cut := range map[int64]bool{3 * rawConnections * rawRange: true, rawConnections * rawRange: false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second/2)
			defer cancel()
			o := object{version: objstore.Version{Size: size}}
			m, err := readRaw(ctx, slowSide{each: time.Second}, []span{whole(o)}, noCheck)
			if err != nil || m.cut != cut || m.bytes == 0 || cut != (m.bytes < size) {
				t.Errorf("size %d: %d bytes, cut %v, %v", size, m.bytes, m.cut, err)
			}
		})
	}
}

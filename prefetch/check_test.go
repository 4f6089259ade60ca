package prefetch

import (
	"testing"

	"github.com/headrace/headrace/objstore"
)

// check runs the INVARIANT lines of window, lane and touches.
func check(t *testing.T, w *window) {
	t.Helper()
	if len(w.lanes) > maxLanes {
		t.Fatalf("%d lanes", len(w.lanes))
	}
	ids := make(map[int64]bool)
	for _, l := range w.lanes {
		if ids[l.id] {
			t.Fatalf("two lanes %d", l.id)
		}
		ids[l.id] = true
		if l.start < 0 || l.start > l.pos || l.pos > int64(w.grid) || l.asked > int64(w.grid) {
			t.Fatalf("lane %+v in a file of %d", l, w.grid)
		}
		if l.climb.wanted < firstWindow || l.climb.wanted > maxWindow {
			t.Fatalf("lane %+v has a window out of bounds", l)
		}
		if l.reading < 0 || l.tick > w.tick {
			t.Fatalf("lane %+v at tick %d", l, w.tick)
		}
	}
	for _, a := range w.asks {
		if a.Len <= 0 || a.Off < 0 || a.End() > int64(w.grid) || a.Off/ChunkSize != (a.End()-1)/ChunkSize {
			t.Fatalf("ask %+v in a file of %d", a, w.grid)
		}
		if a.class != objstore.ClassDemand {
			continue
		}
		if a.Off%BlockSize != 0 || a.End()%BlockSize != 0 && a.End() != int64(w.grid) || a.first < a.Off || a.first >= a.End() {
			t.Fatalf("demand ask %+v in a file of %d", a, w.grid)
		}
	}
	if len(w.touches.newer) > w.touches.limit || len(w.touches.older) > w.touches.limit {
		t.Fatalf("%d and %d touches, limit %d", len(w.touches.newer), len(w.touches.older), w.touches.limit)
	}
	for chunk := range w.touches.newer {
		if _, both := w.touches.older[chunk]; both {
			t.Fatalf("chunk %d in both generations", chunk)
		}
	}
}

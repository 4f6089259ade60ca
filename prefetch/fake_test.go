package prefetch

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/objstore"
)

// fakeSource is a source without bytes: it remembers what it was asked for. Blocks asked for are here at once, unless
// hold is set: then reads wait until release is called or their context ends.
type fakeSource struct {
	mu     sync.Mutex // guards what is below
	have   map[string]bool
	gets   []string // ranges newly asked for, in order
	lives  []life
	reads  int
	handed []string                                          // ranges handed over, in order
	accept func(r objstore.Range, class objstore.Class) bool // nil accepts all
	fail   error
	hold   chan struct{} // nil does not hold
	local  bool
	came   bool // what Local did not know of
}

func (s *fakeSource) Local(objstore.Version) bool { return s.local }

func (s *fakeSource) CameLocal(objstore.Version, int64) bool { return s.local || s.came }

// life is an ask that brought new bytes, with the context that keeps it.
type life struct {
	key string
	objstore.Range
	ctx context.Context
}

func newFakeSource() *fakeSource { return &fakeSource{have: make(map[string]bool)} }

func (s *fakeSource) Fetch(ctx context.Context, v objstore.Version, r objstore.Range, class objstore.Class, first int64) (accepted, started int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accept != nil && !s.accept(r, class) {
		return 0, 0
	}
	for off := r.Off; off < r.End(); off = down(off, BlockSize) + BlockSize {
		block := fmt.Sprintf("%s/%d", v.Key, off/BlockSize)
		if !s.have[block] {
			s.have[block] = true
			started += min(down(off, BlockSize)+BlockSize, r.End()) - off
		}
	}
	if started > 0 {
		s.gets = append(s.gets, fmt.Sprintf("%s %s %s", v.Key, class, showRange(r)))
		s.lives = append(s.lives, life{v.Key, r, ctx})
	}
	return r.Len, started
}

func (s *fakeSource) Read(ctx context.Context, v objstore.Version, r objstore.Range) (data [][]byte, release func(), waited bool, err error) {
	s.mu.Lock()
	hold, fail := s.hold, s.fail
	s.reads++
	for off := r.Off; off < r.End(); off = down(off, BlockSize) + BlockSize {
		if block := fmt.Sprintf("%s/%d", v.Key, off/BlockSize); !s.have[block] {
			s.have[block] = true
			s.gets = append(s.gets, fmt.Sprintf("%s read %d", v.Key, off/BlockSize))
		}
	}
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, nil, true, ctx.Err()
		}
	}
	if fail != nil {
		return nil, nil, true, fail
	}
	return [][]byte{make([]byte, r.Len)}, func() {}, hold != nil, nil
}

func (s *fakeSource) HandedOver(v objstore.Version, r objstore.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handed = append(s.handed, fmt.Sprintf("%s %s", v.Key, showRange(r)))
}

// taken returns the GETs since it was last called.
func (s *fakeSource) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	gets := s.gets
	s.gets = nil
	return gets
}

// alive returns the ranges whose predictions live.
func (s *fakeSource) alive(key string) (ranges []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if l.key == key && l.ctx.Err() == nil {
			ranges = append(ranges, showRange(l.Range))
		}
	}
	slices.Sort(ranges)
	return ranges
}

package objstore_test

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
	"github.com/headrace/headrace/objstore/memstore"
)

// modelStore is a store in virtual time: each GET takes a while to its first byte, and then goes at the pace that a
// model gives to so many of them. What is read is zeroes.
type modelStore struct {
	objstore.Bucket
	first time.Duration          // median
	tail  float64                // above 0: first bytes come after times that are distributed log-normally, with this sigma
	stall func(n int) (at int64) // where the n-th GET stalls: see stallNever

	mu        sync.Mutex // guards what follows
	opened    int
	model     cwsim.Model
	active    int
	most      int   // active at once
	delivered int64 // bytes
}

func newModelStore(m cwsim.Model) *modelStore {
	return &modelStore{Bucket: memstore.New("bucket"), first: 20 * time.Millisecond, stall: func(int) int64 { return stallNever }, model: m}
}

func (s *modelStore) set(m cwsim.Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model = m
}

// count returns the bytes delivered, the GETs under way, and the most there ever were.
func (s *modelStore) count() (delivered int64, active, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delivered, s.active, s.most
}

func (s *modelStore) Open(ctx context.Context, _ objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	s.mu.Lock()
	s.opened++
	stall := s.stall(s.opened)
	s.mu.Unlock()
	first := s.first/2 + time.Duration(rand.Int64N(int64(s.first)))
	if s.tail > 0 {
		first = time.Duration(float64(s.first) * math.Exp(s.tail*rand.NormFloat64()))
	}
	if stall == stallHeaders {
		first += stallTime
	}
	if err := sleep(ctx, first); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.active++
	s.most = max(s.most, s.active)
	s.mu.Unlock()
	return &modelBody{store: s, ctx: ctx, left: r.Len, stall: r.Len - stall}, nil
}

// modelBody is one GET of a [modelStore].
type modelBody struct {
	store  *modelStore
	ctx    context.Context
	left   int64
	stall  int64 // what is left when it stalls
	closed sync.Once
}

// Where a GET stalls, for stallTime: before its headers, or after so many bytes of its body, which must be whole
// pieces.
const (
	stallNever   = -1
	stallHeaders = -2
	stallTime    = 10 * time.Second
)

const (
	// modelPiece is how much comes at a time...
	modelPiece = 2 << 20
	// ...and modelStep after how long its pace is looked at again.
	modelStep = 100 * time.Millisecond
)

func (b *modelBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.left, modelPiece)
	if b.left == b.stall {
		if err := sleep(b.ctx, stallTime); err != nil {
			return 0, err
		}
	}
	for part := 1.0; part > 0; { // of the piece that is still to come, at a pace that changes with the GETs there are
		b.store.mu.Lock()
		d, ok := b.store.model.Time(b.store.active, n)
		b.store.mu.Unlock()
		step, done := modelStep, 0.0
		if ok {
			step = min(step, time.Duration(part*float64(d))+1)
			done = float64(step) / float64(d+1)
		}
		if err := sleep(b.ctx, step); err != nil {
			return 0, err
		}
		part -= done
	}
	b.left -= n
	b.store.mu.Lock()
	b.store.delivered += n
	b.store.mu.Unlock()
	return int(n), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 { // a timer that is due already, in a bubble under the race detector: Go 1.26 was seen to crash in it
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *modelBody) Close() error {
	b.closed.Do(func() {
		b.store.mu.Lock()
		b.store.active--
		b.store.mu.Unlock()
	})
	return nil
}

// load has so many readers read chunks of b until ctx ends, each those of one key, and waits for them.
func load(ctx context.Context, t *testing.T, b objstore.Bucket, readers int, keys ...string) (wait func()) {
	var all sync.WaitGroup
	for i := range readers {
		v := objstore.Version{Bucket: b.Name(), Key: "key", Size: 1 << 40}
		if len(keys) > 0 {
			v.Key = keys[i%len(keys)]
		}
		all.Go(func() {
			piece := make([]byte, modelPiece)
			for turn := int64(0); ctx.Err() == nil; turn++ {
				body, err := b.Open(ctx, v, objstore.Range{Off: (int64(i) + turn) * objstore.ChunkSize, Len: objstore.ChunkSize})
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				for err == nil {
					_, err = body.Read(piece)
				}
				body.Close()
			}
		})
	}
	return all.Wait
}

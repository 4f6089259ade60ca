package objstore_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// partitionedStore throttles GETs of keys that begin alike, when there are more than so many at once.
type partitionedStore struct {
	*modelStore
	partition func(key string) (name string, most int)

	mu      sync.Mutex // guards what follows
	active  map[string]int
	asked   int
	refused int
}

func (s *partitionedStore) Open(ctx context.Context, v objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	name, most := s.partition(v.Key)
	s.mu.Lock()
	s.asked++
	if s.active[name] >= most {
		s.refused++
		s.mu.Unlock()
		return nil, &objstore.Error{Op: "GetObject", Key: v.Key, Status: 503, Err: objstore.ErrThrottled}
	}
	s.active[name]++
	s.mu.Unlock()
	leave := sync.OnceFunc(func() {
		s.mu.Lock()
		s.active[name]--
		s.mu.Unlock()
	})
	body, err := s.modelStore.Open(ctx, v, r)
	if err != nil {
		leave()
		return nil, err
	}
	return &partitionedBody{body, leave}, nil
}

type partitionedBody struct {
	io.ReadCloser
	leave func()
}

func (b *partitionedBody) Close() error {
	b.leave()
	return b.ReadCloser.Close()
}

// A store that throttles one partition is asked for less there, and for as much as ever elsewhere.
func TestGateThrottledPartition(t *testing.T) {
	directories := make([]string, 16)
	hashed := make([]string, 256)
	for i := range directories {
		directories[i] = fmt.Sprintf("set/part%02d/object", i)
	}
	for i := range hashed {
		hashed[i] = fmt.Sprintf("%02x%04x/object", i, i*7919%65536)
	}
	for name, c := range map[string]struct {
		keys []string
		hot  func(key string) bool
	}{
		"directory": {directories, func(key string) bool { return key == directories[3] }},
		"hashed":    {hashed, func(key string) bool { return key[0] == '0' }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &partitionedStore{modelStore: newModelStore(curve(64, 200)), active: make(map[string]int)}
				store.partition = func(key string) (string, int) {
					if c.hot(key) {
						return "hot", 4
					}
					return "", 1000
				}
				gate := objstore.NewGate(objstore.GateConfig{})
				ctx, stop := context.WithCancel(t.Context())
				wait := load(ctx, t, objstore.NewRetry(gate.Wrap(store), objstore.RetryPolicy{}), 512, c.keys...)
				time.Sleep(10 * time.Second)
				store.mu.Lock()
				asked, refused := store.asked, store.refused
				store.mu.Unlock()
				part := goodput(store.modelStore, 20*time.Second)
				store.mu.Lock()
				asked, refused = store.asked-asked, store.refused-refused
				store.mu.Unlock()
				if s := gate.Stats(); part < 0.9 || s.Limit < 60 || s.Parts == 0 {
					t.Errorf("%.0f%% of the best, a limit of %d, %d partitions", 100*part, s.Limit, s.Parts)
				}
				if refused == 0 || refused > asked/50 {
					t.Errorf("%d requests of %d were refused", refused, asked)
				}
				if err := gate.Check(); err != nil {
					t.Error(err)
				}
				stop()
				wait()
			})
		})
	}
}

// When a store throttles wherever it is asked, it is asked for less as a whole.
func TestGateThrottledEverywhere(t *testing.T) {
	keys := make([]string, 26)
	for i := range keys {
		keys[i] = string(rune('a'+i)) + "/object"
	}
	synctest.Test(t, func(t *testing.T) {
		store := &partitionedStore{modelStore: newModelStore(curve(64, 200)), active: make(map[string]int)}
		store.partition = func(string) (string, int) { return "all", 20 }
		gate := objstore.NewGate(objstore.GateConfig{})
		ctx, stop := context.WithCancel(t.Context())
		wait := load(ctx, t, objstore.NewRetry(gate.Wrap(store), objstore.RetryPolicy{}), 200, keys...)
		time.Sleep(20 * time.Second)
		if s := gate.Stats(); s.Limit > 30 || s.Throttled == 0 {
			t.Errorf("a limit of %d for a store that takes 20", s.Limit)
		}
		stop()
		wait()
	})
}

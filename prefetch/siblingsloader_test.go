package prefetch

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// loader is a training job that reads each file of some directories once, shuffled, by several workers, as a DataLoader
// does.
type loader struct {
	directories, files int // files in each
	ttl                time.Duration
	room               int // files that fit in free memory
}

const (
	loaderWorkers = 8
	loaderTrip    = 20 * time.Millisecond // to the store and back
	loaderWork    = 5 * time.Millisecond  // what a worker does with a file
)

// read gives how long an epoch takes, and what it costs. s is nil when nothing is brought ahead. It must be called in a
// bubble of synctest.
func (l loader) read(t *testing.T, siblings bool) (took time.Duration, store *unhurried) {
	store = &unhurried{trip: loaderTrip, free: l.room, held: make(map[objstore.Version]chan struct{})}
	var s *Siblings
	if siblings {
		s = NewSiblings(SiblingsConfig{Source: store, TTL: l.ttl, Now: time.Now})
		defer s.Close()
	}
	began := time.Now()
	order := rand.New(rand.NewPCG(1, 2)).Perm(l.directories * l.files)
	var working sync.WaitGroup
	for w := range loaderWorkers {
		working.Go(func() {
			for at := w; at < len(order); at += loaderWorkers {
				dir := fmt.Sprint("dir-", order[at]%l.directories)
				v := fileOf(dir, fmt.Sprint(order[at]/l.directories))
				l.open(t, s, store, dir, v, time.Since(began))
				time.Sleep(loaderWork)
			}
		})
	}
	working.Wait()
	took = time.Since(began)
	if s != nil {
		t.Logf("%+v", s.Stats())
	}
	return took, store
}

// open is what an open costs. The listing is as old as the epoch.
func (l loader) open(t *testing.T, s *Siblings, store *unhurried, dir string, v objstore.Version, age time.Duration) {
	due := l.ttl >= 0 && age >= l.ttl
	if due && s != nil {
		asked, ahead, err := s.Confirmed(t.Context(), dir, v)
		if err != nil {
			t.Error(err)
		}
		due = !ahead || time.Since(asked) >= l.ttl
	}
	fetched := store.get(v)
	s.Opened(dir, v, fetched, named(dir, l.files))
	if fetched {
		return
	}
	store.mu.Lock()
	store.free++ // the kernel has its pages
	if due {
		store.heads++
	}
	store.mu.Unlock()
	if due {
		time.Sleep(store.trip)
	}
}

// A shuffled reader is never slower for what is brought ahead, and no file is fetched that is not read: each once.
// Where answers do not age it is much faster; where they age soon it pays a second request for few of its files.
func TestSiblingsOfAShuffledLoader(t *testing.T) {
	for _, test := range []struct {
		name string
		loader
		gain  float64 // at least so many times as fast
		heads int     // at most, for late openings
	}{
		{"immutable", loader{1, 2000, -1, 1 << 20}, 3, 0},
		{"immutable, memory for a tenth", loader{1, 2000, -1, 200}, 1, 0},
		{"ten directories", loader{10, 200, -1, 1 << 20}, 3, 0},
		{"more directories than are followed", loader{100, 40, -1, 1 << 20}, 1, 0},
		{"a TTL of a second", loader{1, 2000, time.Second, 1 << 20}, 1, 2000 / 10},
		{"a TTL of a minute", loader{1, 2000, time.Minute, 1 << 20}, 3, 0},
		{"a TTL of a second, ten directories", loader{10, 200, time.Second, 1 << 20}, 1, 2000 / 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				without, _ := test.read(t, false)
				with, store := test.read(t, true)
				t.Logf("%v without, %v with, %d GETs, %d HEADs", without, with, store.gets, store.heads)
				if most := time.Duration(float64(without) / test.gain * 1.001); with > most {
					t.Errorf("an epoch takes %v, and %v with files ahead", without, with)
				}
				if all := test.directories * test.files; store.gets != all || len(store.held) != all || store.heads > test.heads {
					t.Errorf("%d files cost %d GETs of %d files and %d HEADs", all, store.gets, len(store.held), store.heads)
				}
			})
		})
	}
}

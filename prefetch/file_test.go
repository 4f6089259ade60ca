package prefetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

const mib = 1 << 20

func version(key string, size int64) objstore.Version {
	return objstore.Version{Endpoint: "e", Bucket: "b", Key: key, ETag: "1", Size: size}
}

func newPrefetcher(t *testing.T, s Source, budget int64) *Prefetcher {
	t.Helper()
	p, err := New(Config{Source: s, Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if st := p.Stats(); st.Files != 0 || st.ActiveLanes != 0 || p.claimed.Load() != 0 {
			t.Errorf("left over: %+v, %d bytes claimed", st, p.claimed.Load())
		}
	})
	return p
}

// mustRead reads and releases.
func mustRead(t *testing.T, f *File, off int64, n int) int64 {
	t.Helper()
	data, release, err := f.Read(t.Context(), off, n)
	if err != nil {
		t.Fatalf("read %d at %d: %v", n, off, err)
	}
	defer release()
	var got int64
	for _, d := range data {
		got += int64(len(d))
	}
	return got
}

func wantGets(t *testing.T, s *fakeSource, want ...string) {
	t.Helper()
	if got := s.taken(); !slices.Equal(got, want) {
		t.Fatalf("asked for\n%q, want\n%q", got, want)
	}
}

// A sequential read of 64 MiB is four aligned GETs, however its requests overlap.
func TestSequentialIsWholeChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSource()
		p := newPrefetcher(t, s, 1<<30)
		f := p.Open(version("a", 64*mib))
		defer f.Close()
		for off := int64(0); off < 64*mib; off += 4 * mib {
			var wg sync.WaitGroup
			for i := range int64(4) {
				wg.Go(func() { mustRead(t, f, off+i*mib, mib) })
			}
			wg.Wait()
		}
		got := s.taken()
		slices.Sort(got)
		want := []string{"a demand [0,16M)", "a prefetch [16M,32M)", "a prefetch [32M,48M)", "a prefetch [48M,64M)"}
		if !slices.Equal(got, want) {
			t.Fatalf("asked for %q", got)
		}
		if st := p.Stats(); st.Reads != 64 || st.ReadBytes != 64*mib || st.DemandBytes != 16*mib || st.PrefetchBytes != 48*mib {
			t.Fatalf("stats %+v", st)
		}
	})
}

// A read is cut at the end of the file, and is empty after it.
func TestReadAtTheEnd(t *testing.T) {
	p := newPrefetcher(t, newFakeSource(), 1<<30)
	f := p.Open(version("a", 100))
	defer f.Close()
	for _, c := range []struct {
		off  int64
		n    int
		want int64
	}{{0, 100, 100}, {0, 200, 100}, {99, 4096, 1}, {100, 1, 0}, {1000, 1, 0}, {5, 0, 0}} {
		if got := mustRead(t, f, c.off, c.n); got != c.want {
			t.Errorf("read %d at %d: %d bytes, want %d", c.n, c.off, got, c.want)
		}
	}
}

func TestPreload(t *testing.T) {
	for _, c := range []struct {
		size      int64
		confirmed bool
		gets      []string
	}{
		{0, false, nil},
		{1, true, []string{"a demand [0,1)"}},
		{100 << 10, true, []string{"a demand [0,100K)"}},
		{16 * mib, true, []string{"a demand [0,16M)"}},
		{16*mib + 1, true, []string{"a demand [0,16M)", "a prefetch [16M,16M+1)"}},
		{32 * mib, true, []string{"a demand [0,16M)", "a prefetch [16M,32M)"}},
		{32*mib + 1, false, nil},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			s := newFakeSource()
			f := newPrefetcher(t, s, 1<<30).Open(version("a", c.size))
			defer f.Close()
			confirmed, err := f.Preload(t.Context())
			if err != nil || confirmed != c.confirmed {
				t.Fatalf("%v, %v", confirmed, err)
			}
			wantGets(t, s, c.gets...)
			// Reading the rest asks for nothing more, and a second open confirms nothing.
			if c.confirmed {
				mustRead(t, f, 0, mib)
				mustRead(t, f, c.size-1, 1)
			}
			if confirmed, err = f.Preload(t.Context()); confirmed || err != nil {
				t.Fatalf("again: %v, %v", confirmed, err)
			}
			wantGets(t, s)
		})
	}
}

// What may come from a local disk says nothing of what the store has now.
func TestPreloadOfWhatIsLocal(t *testing.T) {
	for _, came := range []bool{false, true} { // another mount brings it after it was looked for
		s := newFakeSource()
		s.local, s.came = !came, came
		f := newPrefetcher(t, s, 1<<30).Open(version("a", 100<<10))
		defer f.Close()
		if confirmed, err := f.Preload(t.Context()); confirmed || err != nil {
			t.Errorf("came after that %v: %v, %v", came, confirmed, err)
		}
		wantGets(t, s, "a demand [0,100K)")
	}
}

// Preload waits for the first byte, and no longer than its context.
func TestPreloadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSource()
		s.hold = make(chan struct{})
		f := newPrefetcher(t, s, 1<<30).Open(version("a", 10))
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if confirmed, err := f.Preload(ctx); confirmed || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, %v", confirmed, err)
		}
		if d := time.Since(start); d != time.Second {
			t.Fatalf("waited %v", d)
		}
	})
}

func TestErrorsPassThrough(t *testing.T) {
	s := newFakeSource()
	s.fail = objstore.ErrChanged
	p := newPrefetcher(t, s, 1<<30)
	f := p.Open(version("a", 10))
	defer f.Close()
	if confirmed, err := f.Preload(t.Context()); confirmed || !errors.Is(err, objstore.ErrChanged) {
		t.Fatalf("preload: %v, %v", confirmed, err)
	}
	if _, _, err := f.Read(t.Context(), 0, 5); !errors.Is(err, objstore.ErrChanged) {
		t.Fatalf("read: %v", err)
	}
	if st := p.Stats(); st.Reads != 0 || st.ReadBytes != 0 {
		t.Fatalf("stats %+v", st)
	}
}

// When the source takes nothing ahead, readers are served by what they wait for.
func TestMemoryIsShort(t *testing.T) {
	s := newFakeSource()
	s.accept = func(_ objstore.Range, class objstore.Class) bool { return class == objstore.ClassDemand }
	p := newPrefetcher(t, s, 1<<30)
	f := p.Open(version("a", 64*mib))
	defer f.Close()
	for off := int64(0); off < 64*mib; off += mib {
		mustRead(t, f, off, mib)
	}
	wantGets(t, s, "a demand [0,16M)", "a demand [16M,32M)", "a demand [32M,48M)", "a demand [48M,64M)")
	if st := p.Stats(); st.ShortAnswers == 0 {
		t.Fatalf("stats %+v", st)
	}
}

func TestConfig(t *testing.T) {
	s := newFakeSource()
	for _, cfg := range []Config{{}, {Source: s}, {Source: s, Budget: 1000}, {Budget: 1 << 30}, {Source: s, Budget: 1 << 30, Memory: 1 << 20}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// What a stream's reader keeps is handed over; what was read at random, or is not known to be a stream, is kept here.
func TestOnlyStreamsAreHandedOver(t *testing.T) {
	s := newFakeSource()
	p := newPrefetcher(t, s, 1<<30)
	f := p.Open(version("a", 1<<40))
	defer f.Close()
	for off := range int64(3) {
		mustRead(t, f, off*mib, mib)
		f.HandedOver(off*mib, mib)
	}
	for i := range int64(20) {
		mustRead(t, f, (100+7*i)<<30, 4096)
		f.HandedOver((100+7*i)<<30, 4096)
	}
	f.HandedOver(500*mib, mib)
	if want := []string{"a [0,1M)", "a [1M,2M)", "a [2M,3M)"}; !slices.Equal(s.handed, want) {
		t.Errorf("handed over %q, want %q", s.handed, want)
	}
}

// TestClaimEndsAtRest: a file that nobody reads any more leaves the memory it counted on to others.
func TestClaimEndsAtRest(t *testing.T) {
	now := time.Unix(0, 0)
	p, err := New(Config{Source: newFakeSource(), Budget: 512 << 20, Memory: 1 << 30, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	const size = 900 << 20
	idle, busy := p.Open(objstore.Version{Key: "idle", Size: size}), p.Open(objstore.Version{Key: "busy", Size: size})
	rnd := rand.New(rand.NewPCG(1, 1))
	read := func(f *File) {
		for range 200 {
			_, release, err := f.Read(t.Context(), rnd.Int64N(size-4096)/4096*4096, 4096)
			if err != nil {
				t.Fatal(err)
			}
			release()
			now = now.Add(10 * time.Millisecond)
		}
	}
	read(idle)
	if !idle.claimed {
		t.Fatal("nothing is claimed for a file that is read at random")
	}
	now = now.Add(time.Hour)
	read(busy)
	if idle.claimed || !busy.claimed {
		t.Errorf("idle for an hour: %v; read now: %v", idle.claimed, busy.claimed)
	}
}

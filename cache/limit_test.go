package cache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/headrace/headrace/objstore"
)

// resident is how many bytes of the mapping around mem the kernel has pages for.
func resident(t *testing.T, mem []byte) int64 {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	end := start + uint64(len(mem))
	inside, sum := false, int64(0)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var lo, hi uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &lo, &hi); n == 2 {
			inside = lo < end && hi > start
		}
		if rest, is := strings.CutPrefix(lines.Text(), "Rss:"); is && inside {
			var kib int64
			if _, err := fmt.Sscanf(rest, "%d", &kib); err != nil {
				t.Fatal(err)
			}
			sum += kib << 10
		}
	}
	return sum
}

// Hundreds of streams, random readers and small objects at once, some of which give up and some of whose GETs fail, get
// the right bytes and never more memory than the limit: by the ledger, and by what the kernel counts.
func TestManyStreamsKeepTheLimit(t *testing.T) {
	const memory = 64 << 20
	s := newFakeStore()
	var opened atomic.Int64
	s.open = func(ctx context.Context, _ objstore.Version, _ objstore.Range) error {
		if opened.Add(1)%50 == 0 {
			return errStore
		}
		return ctx.Err()
	}
	c := newTestCache(t, s, memory)
	whole := c.arena.mem
	var wg sync.WaitGroup
	for i := range 256 {
		wg.Go(func() {
			tryToExceed(t, c, s, uint64(i))
			if i%8 > 0 {
				return
			}
			if now := resident(t, whole); now > memory {
				t.Errorf("%d bytes are resident", now)
			}
		})
	}
	wg.Wait()
	st := c.Stats()
	if st.MemoryPeak > memory || st.MemoryPeak < memory/2 {
		t.Errorf("at most %d bytes were booked", st.MemoryPeak)
	}
	if st.Evictions == 0 || st.MemoryWaits == 0 {
		t.Errorf("memory was never short: %+v", st)
	}
}

// tryToExceed is one reader of some kind.
func tryToExceed(t *testing.T, c *Cache, s *fakeStore, id uint64) {
	rng := rand.New(rand.NewPCG(id, 1))
	v := version(fmt.Sprintf("stream-%d", id), 100<<20)
	ctx, end := context.WithCancel(context.Background())
	defer end()
	off, length := rng.Int64N(4)*chunkSize, int64(128<<10)
	for i := range int64(3) {
		switch id % 4 {
		case 0: // a stream that asks ahead
			c.Fetch(ctx, v, objstore.Range{Off: off, Len: 3 * chunkSize}, objstore.ClassPrefetch, off)
			length = 1 << 20
			off += length
		case 1: // random pages of a shared object
			v = version("shared", 1<<30)
			off, length = rng.Int64N(1<<30-pageSize), pageSize
		case 2: // small objects
			v = version(fmt.Sprintf("small-%d", rng.IntN(2000)), 1+rng.Int64N(600<<10))
			off, length = 0, v.Size
		case 3: // where chunks meet
			off, length = chunkSize*(1+rng.Int64N(5))-length/2, 128<<10
		}
		r := objstore.Range{Off: off, Len: length}
		impatient, giveUp := context.WithCancel(ctx)
		if i == 2 && id%5 == 0 {
			go giveUp()
		}
		data, release, _, err := c.Read(impatient, v, r)
		giveUp()
		switch {
		case err == nil:
			if err := same(data, s.content(v, r)); err != nil {
				t.Errorf("%v of %s: %v", r, v.Key, err)
			}
			release()
		case !errors.Is(err, errStore) && !errors.Is(err, context.Canceled):
			t.Errorf("%v of %s: %v", r, v.Key, err)
		}
	}
}

// What the kernel has pages for is what is committed.
func TestResidentIsCommitted(t *testing.T) {
	s := newFakeStore()
	c := newTestCache(t, s, MinMemory)
	whole := c.arena.mem
	large := version("large", 512<<20)
	for round := range int64(3) {
		for off := round * chunkSize; off < 5*chunkSize; off += 5 * blockSize {
			ctx, end := context.WithCancel(t.Context())
			if round == 1 {
				c.Fetch(ctx, large, objstore.Range{Off: off / chunkSize * chunkSize, Len: chunkSize}, objstore.ClassPrefetch, off)
			}
			mustRead(t, c, s, large, objstore.Range{Off: off + round*64<<20 + off%7*chunkSize, Len: 10})
			end()
			c.goroutines.Wait() // for what still goes on, the ended prediction included
			c.mu.Lock()
			used := c.ledger.used
			c.mu.Unlock()
			if got := resident(t, whole); got > used {
				t.Fatalf("round %d: %d bytes are resident, %d are booked", round, got, used)
			}
		}
	}
}

package cache

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

func spareVersion(i int, size int64) objstore.Version {
	return objstore.Version{Bucket: "b", Key: fmt.Sprint("spare-", i), ETag: "e", Size: size}
}

// FetchSpare evicts nothing, leaves its reserve, asks once for each version, and takes the place of what readers keep
// themselves.
func TestFetchSpare(t *testing.T) {
	store := newFakeStore()
	c, err := New(Config{Opener: store, Memory: MinMemory})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	const size = 1 << 20
	brought := 0
	for ; ; brought++ {
		asked, full, err := c.FetchSpare(t.Context(), spareVersion(brought, size))
		if err != nil {
			t.Fatal(err)
		}
		if full {
			break
		}
		if !asked {
			t.Fatalf("the store was not asked for version %d", brought)
		}
	}
	s := c.Stats()
	if s.Evictions != 0 || s.MemoryUsed > s.MemoryLimit-s.MemoryLimit/spareReserve+recordCost*64 {
		t.Errorf("%d evicted, %d of %d used", s.Evictions, s.MemoryUsed, s.MemoryLimit)
	}
	if want := int(MinMemory/size) * 3 / 4; brought < want {
		t.Errorf("%d brought, should be %d at least", brought, want)
	}
	if asked, full, err := c.FetchSpare(t.Context(), spareVersion(0, size)); asked || full || err != nil {
		t.Errorf("what is here: asked %v, full %v, %v", asked, full, err)
	}
	data, release, waited, err := c.Read(t.Context(), spareVersion(0, size), objstore.Range{Len: size})
	if err != nil || waited || len(data) != 1 {
		t.Fatalf("read: waited %v, %v", waited, err)
	}
	release()
	c.HandedOver(spareVersion(0, size), objstore.Range{Len: size})
	if asked, _, err := c.FetchSpare(t.Context(), spareVersion(brought, size)); !asked || err != nil {
		t.Errorf("in place of what its reader keeps: asked %v, %v", asked, err)
	}
	if asked, full, _ := c.FetchSpare(t.Context(), spareVersion(brought+1, size)); asked || !full {
		t.Errorf("once more: asked %v, full %v", asked, full)
	}
	if got, want := len(store.calls), brought+1; got != want {
		t.Errorf("%d GETs, want %d", got, want)
	}
	c.check(t)
}

// A FetchSpare that is given up ends its GET, and fails nobody who reads the same.
func TestFetchSpareGivenUp(t *testing.T) {
	store := newFakeStore()
	began, goOn := make(chan struct{}, 2), make(chan struct{})
	store.open = func(ctx context.Context, _ objstore.Version, _ objstore.Range) error {
		began <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c, err := New(Config{Opener: store, Memory: MinMemory})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		_, _, err := c.FetchSpare(ctx, spareVersion(1, 5<<20))
		over <- err
	}()
	<-began
	cancel()
	if err := <-over; err == nil {
		t.Error("given up, and no error")
	}
	read := make(chan error, 1)
	go func() {
		_, release, _, err := c.Read(t.Context(), spareVersion(1, 5<<20), objstore.Range{Len: 1})
		if err == nil {
			release()
		}
		read <- err
	}()
	<-began
	close(goOn)
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// What FetchSpare brings is as urgent as its caller's ticket says, whenever that is raised.
func TestFetchSpareRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		asked, goOn := make(chan *objstore.Ticket, 1), make(chan struct{})
		store.open = func(ctx context.Context, _ objstore.Version, _ objstore.Range) error {
			asked <- objstore.TicketFrom(ctx, objstore.ClassWarm)
			<-goOn
			return nil
		}
		c := newTestCache(t, store, MinMemory)
		for i, before := range []bool{false, true} {
			ticket := objstore.NewTicket(objstore.ClassPrefetch)
			if before {
				ticket.Raise(objstore.ClassDemand)
			}
			var fetching sync.WaitGroup
			fetching.Go(func() {
				if asked, _, err := c.FetchSpare(objstore.WithTicket(t.Context(), ticket), spareVersion(i, 1<<20)); !asked || err != nil {
					t.Errorf("asked %v, %v", asked, err)
				}
			})
			synctest.Wait()
			own := <-asked
			if got := own.Class(); got != ticket.Class() {
				t.Errorf("raised before %v: a GET of class %v", before, got)
			}
			ticket.Raise(objstore.ClassDemand)
			if got := own.Class(); got != objstore.ClassDemand {
				t.Errorf("raised before %v: class %v once it was raised", before, got)
			}
			goOn <- struct{}{}
			fetching.Wait()
		}
	})
}

// lateDisk has nothing when one looks, and all when one reads: another mount has written meanwhile.
type lateDisk struct{ Disk }

func (lateDisk) Cached(objstore.Version) int64 { return 0 }

// What another mount has put on the disk just now is no answer of the store.
func TestFetchSpareFromTheDisk(t *testing.T) {
	dir, store := filepath.Join(t.TempDir(), "c"), newFakeStore()
	v := spareVersion(1, 1<<20)
	c := newDiskCache(t, store, MinMemory, dir, 1)
	mustRead(t, c, store, v, objstore.Range{Len: v.Size})
	settled(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = newDiskCache(t, store, MinMemory, dir, 1)
	c.disk = lateDisk{c.disk}
	gets := len(store.ranges())
	if asked, full, err := c.FetchSpare(t.Context(), v); asked || full || err != nil || len(store.ranges()) != gets {
		t.Errorf("asked %v, full %v, %v, %d GETs", asked, full, err, len(store.ranges())-gets)
	}
}

// However much is free, a quarter of the limit may be under way.
func TestFetchSpareUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		goOn := make(chan struct{})
		store.open = func(context.Context, objstore.Version, objstore.Range) error {
			<-goOn
			return nil
		}
		c := newTestCache(t, store, MinMemory)
		const size, most = 4 << 20, MinMemory / spareComing / (4 << 20)
		var fetching sync.WaitGroup
		for i := range most {
			fetching.Go(func() {
				if asked, full, err := c.FetchSpare(t.Context(), spareVersion(i, size)); !asked || full || err != nil {
					t.Errorf("asked %v, full %v, %v", asked, full, err)
				}
			})
		}
		synctest.Wait()
		if asked, full, err := c.FetchSpare(t.Context(), spareVersion(most, size)); asked || !full || err != nil {
			t.Errorf("one more: asked %v, full %v, %v", asked, full, err)
		}
		close(goOn)
		fetching.Wait()
		if asked, full, err := c.FetchSpare(t.Context(), spareVersion(most, size)); !asked || full || err != nil {
			t.Errorf("once they are here: asked %v, full %v, %v", asked, full, err)
		}
	})
}

// What is given up of one size is no room for another until a whole block of it is free: the reserve stays what it is,
// and no more is given up than is needed.
func TestFetchSpareOfAnotherSize(t *testing.T) {
	const few, many = largestCell, 100 << 10 // 2 and 10 in a block
	c := newTestCache(t, newFakeStore(), MinMemory)
	old := 0
	for ; ; old++ {
		if _, full, err := c.FetchSpare(t.Context(), spareVersion(old, many)); full || err != nil {
			break
		}
	}
	for i := range old {
		_, release, _, err := c.Read(t.Context(), spareVersion(i, many), objstore.Range{Len: many})
		if err != nil {
			t.Fatal(err)
		}
		release()
		c.HandedOver(spareVersion(i, many), objstore.Range{Len: many})
	}
	for i := 1; ; i++ {
		asked, full, err := c.FetchSpare(t.Context(), spareVersion(old+i, few))
		if err != nil || !asked && !full {
			t.Fatalf("asked %v, %v", asked, err)
		}
		if full {
			break
		}
		c.mu.Lock()
		free, reused := c.unused(), int(c.stats.Reused)
		c.mu.Unlock()
		if free < MinMemory/spareReserve-2*blockSize {
			t.Fatalf("%d KiB are left for readers after %d files", free>>10, i)
		}
		if most := (i + 1) / 2 * (blockSize / many); reused > most {
			t.Fatalf("%d given up for %d files", reused, i)
		}
	}
	c.check(t)
}

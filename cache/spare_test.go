package cache

import (
	"context"
	"fmt"
	"testing"

	"github.com/headrace/headrace/objstore"
)

func spareVersion(i int, size int64) objstore.Version {
	return objstore.Version{Bucket: "b", Key: fmt.Sprint("spare-", i), ETag: "e", Size: size}
}

// FetchSpare evicts nothing, leaves its reserve, asks once for each version, and takes the place of what readers keep themselves.
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

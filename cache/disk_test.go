package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// newDiskCache makes a cache with a tier on disk in dir, checked and closed when the test ends.
func newDiskCache(t *testing.T, s objstore.Opener, memory int64, dir string, reader uint64) *Cache {
	t.Helper()
	tier, err := disk.Open(disk.Config{Dir: dir, Size: 1 << 30, MinFree: 1, Queue: memory / 2})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Opener: s, Memory: memory, Disk: tier, Reader: reader})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, c)
	return c
}

// settled waits until nothing waits to be written.
func settled(t *testing.T, c *Cache) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		c.mu.RLock()
		left := len(c.unkept)
		c.mu.RUnlock()
		if s, _ := c.Disk(); s.Queued == 0 && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the disk does not get done")
		}
	}
}

// What was read once comes from the disk afterwards: from memory, disk and store in this order, also in another
// process's life.
func TestDiskServesTheSecondTime(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "c"), newFakeStore()
	var versions []objstore.Version
	for _, size := range []int64{1, 5000, 100 << 10, blockSize, chunkSize + 5, 3*chunkSize + 100} {
		versions = append(versions, version(fmt.Sprint(size), size))
	}
	readAll := func(c *Cache) {
		t.Helper()
		for _, v := range versions {
			for off := int64(0); off < v.Size; off += chunkSize {
				mustRead(t, c, s, v, objstore.Range{Off: off, Len: min(chunkSize, v.Size-off)})
			}
		}
	}
	c := newDiskCache(t, s, 64<<20, dir, 1)
	readAll(c)
	settled(t, c)
	for _, v := range versions {
		if got := c.Cached(v); got != v.Size {
			t.Errorf("%d of %v are cached", got, v)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	gets := len(s.ranges())
	c = newDiskCache(t, s, MinMemory, dir, 1)
	for range 2 { // memory holds less than there is
		readAll(c)
	}
	if got := len(s.ranges()); got != gets {
		t.Errorf("GETs for what is on the disk: %v", s.ranges()[gets:])
	}
	if st := c.Stats(); st.BytesLocal == 0 || st.BytesFetched != 0 {
		t.Errorf("%+v", st)
	}
}

// What the disk has of a chunk comes from there, the rest from the store; and what turns out to be damaged as well.
func TestDiskHasAPart(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "c"), newFakeStore()
	v := version("object", chunkSize)
	c := newDiskCache(t, s, 64<<20, dir, 1)
	mustRead(t, c, s, v, objstore.Range{Off: 4 * blockSize, Len: 2 * blockSize})
	mustRead(t, c, s, v, objstore.Range{Off: 9 * blockSize, Len: blockSize})
	settled(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, dir, 5*blockSize+77)
	before := len(s.ranges())
	c = newDiskCache(t, s, 64<<20, dir, 1)
	mustRead(t, c, s, v, objstore.Range{Len: chunkSize})
	if got, want := fmt.Sprint(s.ranges()[before:]), fmt.Sprint([]objstore.Range{{Len: 4 * blockSize}, {Off: 5 * blockSize, Len: 4 * blockSize}, {Off: 10 * blockSize, Len: 6 * blockSize}}); got != want {
		t.Errorf("asked for %v, want %v", got, want)
	}
	if st, _ := c.Disk(); st.Corrupt != 1 {
		t.Errorf("%d corrupt blocks", st.Corrupt)
	}
	// The damaged block is dropped, and kept anew once it has been read again.
	for deadline := time.Now().Add(time.Minute); c.disk.Present(v, 0) != 1<<blocksPerChunk-1; {
		if time.Now().After(deadline) {
			t.Fatalf("%016b are on the disk", c.disk.Present(v, 0))
		}
		c.mu.Lock()
		if k := c.index.find(v, 0); k != nil {
			c.discard(k)
		}
		c.mu.Unlock()
		mustRead(t, c, s, v, objstore.Range{Len: chunkSize})
		settled(t, c)
	}
}

// damage changes a byte of the only data file.
func damage(t *testing.T, dir string, off int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "data", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, readErr := f.ReadAt(b, off)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b, off)
	if err := errors.Join(readErr, writeErr, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// What somebody's credentials brought is given to somebody else only when the store gives it to them too.
func TestDiskAsksForStrangers(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "c"), newFakeStore()
	v := version("secret", 3*blockSize)
	c := newDiskCache(t, s, 64<<20, dir, 1)
	mustRead(t, c, s, v, objstore.Range{Len: v.Size})
	settled(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	denied := true
	s.open = func(context.Context, objstore.Version, objstore.Range) error {
		if denied {
			return objstore.ErrPermission
		}
		return nil
	}
	c = newDiskCache(t, s, 64<<20, dir, 2)
	if _, _, _, err := c.Read(t.Context(), v, objstore.Range{Len: v.Size}); !errors.Is(err, objstore.ErrPermission) {
		t.Fatalf("read what the store denies: %v", err)
	}
	denied = false
	before := len(s.ranges())
	mustRead(t, c, s, v, objstore.Range{Len: v.Size})
	if got := s.ranges()[before:]; len(got) != 1 || got[0].Len != 1 {
		t.Errorf("asked for %v, want one byte", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	before = len(s.ranges())
	c = newDiskCache(t, s, 64<<20, dir, 2)
	mustRead(t, c, s, v, objstore.Range{Len: v.Size})
	if got := s.ranges()[before:]; len(got) != 0 {
		t.Errorf("asked again: %v", got)
	}
}

// Many readers of more than fits into memory, with a queue that is too short for all to be kept: the bytes are right,
// memory keeps its limit, and nobody waits for ever.
func TestDiskUnderLoad(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "c"), newFakeStore()
	const memory = 48 << 20
	tier, err := disk.Open(disk.Config{Dir: dir, Size: 100 << 20, MinFree: 1, Queue: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Opener: s, Memory: memory, Disk: tier, Reader: 1})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, c)
	var readers sync.WaitGroup
	for reader := range uint64(8) {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(reader, 1))
			for range 60 {
				v := version(fmt.Sprint(rnd.IntN(12)), 20<<20)
				off := rnd.Int64N(v.Size)
				r := objstore.Range{Off: off, Len: 1 + rnd.Int64N(min(3<<20, v.Size-off))}
				data, release, _, err := c.Read(t.Context(), v, r)
				if err != nil {
					t.Error(err)
					return
				}
				if err := same(data, s.content(v, r)); err != nil {
					t.Error(err)
				}
				release()
			}
		})
	}
	readers.Wait()
	if st := c.Stats(); st.MemoryPeak > memory || st.BytesLocal == 0 {
		t.Errorf("%+v", st)
	}
	if st, _ := c.Disk(); st.Used > 100<<20 || st.Corrupt+st.Lost+st.Errors != 0 {
		t.Errorf("%+v", st)
	}
}

// What came from the disk is told from what the store was asked for, also where nobody knew beforehand that it was on
// the disk.
func TestDiskCameLocal(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "c"), newFakeStore()
	v := version("a", chunkSize+2*blockSize)
	all := []objstore.Range{{Len: blockSize}, {Off: chunkSize, Len: blockSize}}
	c := newDiskCache(t, s, 64<<20, dir, 1)
	for _, r := range all {
		mustRead(t, c, s, v, r)
		if c.CameLocal(v, r.Off) {
			t.Errorf("%d came from the store", r.Off)
		}
	}
	settled(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = newDiskCache(t, s, 64<<20, dir, 1)
	for _, r := range all {
		if c.CameLocal(v, r.Off) {
			t.Errorf("%d is not here", r.Off)
		}
		mustRead(t, c, s, v, r)
		if !c.CameLocal(v, r.Off) {
			t.Errorf("%d came from the disk", r.Off)
		}
	}
}

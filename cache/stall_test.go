package cache

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// hungDisk has every block of every version. While hung is not nil its calls wait until that is closed; what they then
// read is nonsense.
type hungDisk struct {
	Disk  // only what is below is called
	store *fakeStore
	lease *disk.Lease

	mu    sync.Mutex // guards what is below
	hung  chan struct{}
	holds int
	held  int // not released
}

func (d *hungDisk) Hold(v objstore.Version, chunk int64) disk.Held {
	d.count(1, 1)
	return &hungHold{d, v, chunk}
}

func (d *hungDisk) Admits(objstore.Version, uint64) bool { return true }
func (d *hungDisk) Cached(v objstore.Version) int64      { return v.Size }
func (d *hungDisk) Used(objstore.Version, int64)         {}

func (d *hungDisk) Close() error {
	d.wait()
	return nil
}

func (d *hungDisk) Lease(objstore.Version) *disk.Lease {
	d.wait()
	return d.lease
}

func (d *hungDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung = make(chan struct{})
}

// answer lets all calls go on.
func (d *hungDisk) answer() {
	d.mu.Lock()
	close(d.hung)
	d.hung = nil
	d.mu.Unlock()
	synctest.Wait()
}

// wait is a call's wait for the disk; it tells whether there was any.
func (d *hungDisk) wait() bool {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung == nil {
		return false
	}
	<-hung
	return true
}

// count adds to the holds, and returns how many there have been and how many are not released.
func (d *hungDisk) count(holds, held int) (all, open int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds += holds
	d.held += held
	return d.holds, d.held
}

type hungHold struct {
	disk  *hungDisk
	v     objstore.Version
	chunk int64
}

func (h *hungHold) Blocks() disk.Blocks { return 1<<blocksPerChunk - 1 }
func (h *hungHold) Release()            { h.disk.count(0, -1) }

func (h *hungHold) Read(b []byte, off int) bool {
	if h.disk.wait() {
		clear(b)
		return true
	}
	h.disk.store.copyAt(h.v, h.chunk*chunkSize+int64(off), b)
	return true
}

// newHungCache makes a cache over a disk that answers until hang is called.
func newHungCache(t *testing.T) (c *Cache, d *hungDisk, s *valveStore) {
	t.Helper()
	s = newValveStore()
	d = &hungDisk{store: s.fakeStore}
	c = newCache(Config{Opener: s, Memory: 4 * chunkSize, Disk: d, Policy: KeepNone, Near: func() bool { return false }, Log: slog.New(slog.DiscardHandler)}, onHeap(4*chunkSize))
	return c, d, s
}

// A disk that does not answer holds nobody up for longer than its patience: who waits for it gets the bytes from the
// store, into other memory, and who comes after does not wait at all. What the disk writes to its memory when it
// answers at last harms nobody, and after a rest it is asked again.
func TestDiskThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		v := version("object", 3*chunkSize)
		first := read(t, c, v, 0, blockSize)
		first.right(t, s.fakeStore) // and stays pinned

		d.hang()
		stuck, also := read(t, c, v, 5*blockSize, pageSize), read(t, c, v, 5*blockSize+pageSize, pageSize)
		time.Sleep(diskPatience - time.Second)
		stuck.waits(t)
		time.Sleep(2 * time.Second)
		c.check(t)
		s.at(t, v, 5*blockSize).finish()
		stuck.right(t, s.fakeStore)
		also.right(t, s.fakeStore)
		first.right(t, s.fakeStore)

		asked, _ := d.count(0, 0)
		after := read(t, c, v, chunkSize, pageSize)
		s.at(t, v, chunkSize).finish()
		after.right(t, s.fakeStore)
		if now, _ := d.count(0, 0); now != asked || c.Local(v) {
			t.Error("the disk was asked while it does not answer")
		}
		if got := c.Stats().DiskStalls; got != 1 {
			t.Errorf("%d calls counted", got)
		}

		d.answer()
		c.check(t)
		for _, p := range []*pending{first, stuck, also, after} {
			p.right(t, s.fakeStore)
			p.release()
		}
		if _, held := d.count(0, 0); len(c.asides) > 0 || held != 0 {
			t.Errorf("%d chunks are aside and %d holds not released though all is over", len(c.asides), held)
		}
		time.Sleep(diskRest)
		again := read(t, c, v, 2*chunkSize, pageSize)
		again.right(t, s.fakeStore)
		again.release()
		if len(s.live()) > 0 {
			t.Error("the disk is not asked again")
		}
	})
}

// besideStuck has one read of v's first chunk wait for the store, and another for the disk for so long that the chunk
// is set aside.
func besideStuck(t *testing.T, c *Cache, d *hungDisk, v objstore.Version) (slow, stuck *pending) {
	t.Helper()
	c.disk = nil
	slow = read(t, c, v, 8*blockSize, pageSize)
	c.disk = d
	d.hang()
	stuck = read(t, c, v, 0, pageSize)
	time.Sleep(diskPatience)
	return slow, stuck
}

// Bytes that come from the store into a chunk that is set aside still reach those who wait for them.
func TestAsideStillServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		v := version("object", chunkSize)
		slow, stuck := besideStuck(t, c, d, v)
		s.at(t, v, 0).finish()
		stuck.right(t, s.fakeStore)
		s.at(t, v, 8*blockSize).finish()
		slow.right(t, s.fakeStore)
		c.check(t)
		d.answer()
		if len(c.asides) != 1 {
			t.Error("the chunk is gone while its reader has it")
		}
		slow.release()
		stuck.release()
		if len(c.asides) != 0 {
			t.Error("the chunk is not freed")
		}
	})
}

// Who waits for bytes that the store brings into a chunk that is set aside is told when the store has them no more.
func TestAsideThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		v := version("object", 2*chunkSize)
		slow, stuck := besideStuck(t, c, d, v)
		s.at(t, v, 8*blockSize).fail(objstore.ErrChanged)
		if !slow.returned() || !errors.Is(slow.err, objstore.ErrChanged) {
			t.Errorf("the read has returned: %v, with %v", slow.returned(), slow.err)
		}
		s.at(t, v, 0).finish()
		stuck.right(t, s.fakeStore)
		stuck.release()
		d.answer()
		c.check(t)
	})
}

// What the store brings into a chunk that is set aside is not fetched on when its last reader has gone: nobody else can
// come to want it.
func TestAsideThatNobodyWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		v := version("object", 2*chunkSize)
		slow, stuck := besideStuck(t, c, d, v)
		slow.cancel()
		synctest.Wait()
		s.at(t, v, 0).finish()
		stuck.right(t, s.fakeStore)
		if n := len(s.live()); n > 0 {
			t.Errorf("%d GETs go on", n)
		}
		stuck.release()
		d.answer()
		c.check(t)
	})
}

// What is aside keeps no more memory than the disk may write to, so that those who wait for it find room elsewhere.
func TestAsideTakesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		v := version("object", 3*chunkSize) // of a memory of four
		d.hang()
		var stuck []*pending
		for i := range int64(3) {
			stuck = append(stuck, read(t, c, v, i*chunkSize, chunkSize))
		}
		time.Sleep(diskPatience)
		for i, p := range stuck {
			s.at(t, v, int64(i)*chunkSize).finish()
			p.right(t, s.fakeStore)
			c.check(t)
		}
		d.answer()
		for _, p := range stuck {
			p.right(t, s.fakeStore)
			p.release()
		}
		if len(c.asides) != 0 {
			t.Error("chunks are not freed")
		}
	})
}

// An open that finds the disk hung goes on without the kernel's reading the file by itself, and the lease that comes
// late is let go.
func TestLeaseThatComesLate(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, d, _ := newHungCache(t)
		closeAfter(t, c)
		d.lease = disk.Borrowed(file)
		d.hang()
		begun := time.Now()
		if _, _, ok := c.Lease(version("object", 1)); ok || time.Since(begun) != diskPatience {
			t.Errorf("a lease: %v, after %v", ok, time.Since(begun))
		}
		d.answer()
		if err := file.Close(); err == nil {
			t.Error("the lease that came late is kept")
		}
	})
}

// slowIndex is a hungDisk whose index hangs too.
type slowIndex struct{ *hungDisk }

func (d slowIndex) Admits(objstore.Version, uint64) bool { return !d.wait() }

func (d slowIndex) Present(objstore.Version, int64) disk.Blocks {
	d.wait()
	return 0
}

// The index is as the rest of the disk: who asks it whether a reader may have what is there, or what is there, waits no
// longer.
func TestIndexThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		closeAfter(t, c)
		c.disk = slowIndex{d}
		v := version("object", 2*chunkSize)
		first := read(t, c, v, chunkSize, pageSize)
		first.right(t, s.fakeStore)
		first.release()
		d.hang()
		begun := time.Now()
		if c.Cached(v); time.Since(begun) != diskPatience {
			t.Errorf("how much is here was told after %v", time.Since(begun))
		}
		d.answer()
		time.Sleep(diskRest)

		d.hang()
		p := read(t, c, v, 0, pageSize)
		time.Sleep(diskPatience)
		s.at(t, v, 0).finish()
		p.right(t, s.fakeStore)
		p.release()
		d.answer()
		c.check(t)
	})
}

// Nor does Close wait for long where the disk hangs in what it writes, and not at all where it is known to hang.
func TestCloseOfADiskThatHangs(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, d, _ := newHungCache(t)
			d.hang()
			want := closePatience
			if known {
				want = 0
				c.Lease(version("object", 1))
			}
			begun := time.Now()
			if err := c.Close(); err == nil || time.Since(begun) != want {
				t.Errorf("known to hang: %v; closed after %v with %v", known, time.Since(begun), err)
			}
			d.answer()
		})
	}
}

// Close does not wait for a disk that does not answer, leaves alone what it may still write to, and says so.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d, s := newHungCache(t)
		v := version("object", chunkSize)
		d.hang()
		p := read(t, c, v, 0, pageSize)
		time.Sleep(diskPatience)
		s.at(t, v, 0).finish()
		p.right(t, s.fakeStore)
		p.release()
		if err := c.Close(); err == nil {
			t.Error("Close says nothing of the call that is out")
		}
		d.answer()
	})
}

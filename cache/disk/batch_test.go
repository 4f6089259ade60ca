package disk

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// offerAtOnce has the writer find offers together, as one batch, and waits until it is done with them.
func offerAtOnce(t *testing.T, tier *Tier, offers ...*Offer) {
	t.Helper()
	busy, ordered := make(chan struct{}), make(chan error, 1)
	go func() { ordered <- tier.order(func() error { <-busy; return nil }) }()
	var done sync.WaitGroup
	for _, o := range offers {
		done.Add(1)
		o.Done = done.Done
		if !tier.Offer(o) {
			t.Fatal("refused")
		}
	}
	close(busy)
	if err := <-ordered; err != nil {
		t.Fatal(err)
	}
	done.Wait()
}

// offerOf is a whole chunk of a version, whose bytes stay until the test ends.
func offerOf(t *testing.T, v objstore.Version, chunk int64) *Offer {
	t.Helper()
	data := contentOf(v, chunk)
	t.Cleanup(func() { freeBytes(data) })
	return &Offer{Version: v, Chunk: chunk, Data: data, Blocks: allBlocks(len(data)), Reader: 1}
}

// TestLastChunkMakesRoomForTheNext: a version whose only chunk goes for another of its own is there afterwards, with
// that one.
func TestLastChunkMakesRoomForTheNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tier := openTier(t, Config{Dir: dir, Size: ChunkSize + 4*mib})
	v := versionOf("two chunks", 2*ChunkSize)
	keep(t, tier, v, 0, allBlocks(ChunkSize))
	if err := tier.check(); err != nil { // commits: what is not committed does not go
		t.Fatal(err)
	}
	for range 5 {
		tier.Used(v, 1)
	}
	keep(t, tier, v, 1, allBlocks(ChunkSize))
	check := func() {
		t.Helper()
		if err := tier.check(); err != nil {
			t.Error(err)
		}
		if first, second := found(t, tier, v, 0), found(t, tier, v, 1); first != 0 || second != allBlocks(ChunkSize) || tier.Cached(v) != ChunkSize {
			t.Errorf("%016b and %016b are there, of %d bytes", first, second, tier.Cached(v))
		}
	}
	check()
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, Config{Dir: dir, Size: ChunkSize + 4*mib})
	check()
}

// TestFailedWriteLeavesNothing: what a disk that was full has taken of a chunk is given back to it, a whole file or a
// part of one.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := onDisk(t, 48*mib)
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache")})
	half := versionOf("half kept", 2*ChunkSize)
	keep(t, tier, half, 0, 1)
	fs, err := statfs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, fs.free-5*mib/2), 0o600); err != nil {
		t.Fatal(err)
	}
	tier.space.limit, tier.space.minFree = 1<<40, -(1 << 40) // as if the file system said that there is room, as with quotas
	offerAtOnce(t, tier, offerOf(t, half, 0), offerOf(t, half, 1), offerOf(t, versionOf("new", 8*mib), 0))
	if s := tier.Stats(); s.Errors == 0 {
		t.Error("nothing failed")
	}
	eventually(t, "only what is in the index is on the disk", func() bool { return diskUsage(t, tier.dir.path) == tier.Stats().Used })
	if err := os.Remove(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
}

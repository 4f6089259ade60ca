package disk

import (
	"fmt"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
)

// chunksOfEach is how many chunks each object of manyChunks has.
const chunksOfEach = 100

// millionChunks makes a cache that has a million chunks by its index: ten thousand objects of a hundred each.
func millionChunks(b *testing.B, dir string) { manyChunks(b, dir, 10_000) }

// manyChunks makes a cache that has so many objects by its index.
func manyChunks(b testing.TB, dir string, versions uint64) {
	b.Helper()
	tier, err := Open(Config{Dir: dir, Size: 32 << 40, MinFree: 1, Queue: 1})
	if err != nil {
		b.Fatal(err)
	}
	const chunks = chunksOfEach
	record := chunkRecord{present: allBlocks(ChunkSize)}
	err = tier.order(func() error {
		return tier.catalog.index.update(func(tx *bbolt.Tx) error {
			for i := range versions {
				v := versionOf(fmt.Sprint("dataset/shard-", i), chunks*ChunkSize)
				h, r := hashVersion(v), versionRecord{id: i + 1, chunks: chunks, stored: v.Size, present: v.Size, readers: []uint64{1}, version: v}
				if err := tx.Bucket(versionsBucket).Put(h[:], r.bytes()); err != nil {
					return err
				}
				if err := tx.Bucket(idsBucket).Put(idBytes(r.id), h[:]); err != nil {
					return err
				}
				for chunk := range uint32(chunks) {
					if err := tx.Bucket(chunksBucket).Put(chunkKey{r.id, chunk}.bytes(), record.bytes()); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	err = tier.order(func() error { // the totals are the writer's
		tier.catalog.mu.Lock()
		defer tier.catalog.mu.Unlock()
		tier.catalog.totals = totals{nextID: versions + 1, chunks: int64(versions) * chunks, versions: int64(versions), space: int64(versions) * chunks * ChunkSize, limit: 32 << 40}
		tier.catalog.chunks[chunkKey{1, 0}] = &record // so that it commits
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	tier.fitPopularity(int(versions) * chunks)
	tier.touch(1) // so that it is saved
	if err := tier.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpenMillion opens a cache of a million chunks, and says what it takes of the heap.
func BenchmarkOpenMillion(b *testing.B) {
	dir := b.TempDir()
	millionChunks(b, dir)
	before := heap()
	var bytes int64
	for b.Loop() {
		tier, err := Open(Config{Dir: dir, Size: 32 << 40, MinFree: 1, Queue: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if s := tier.Stats(); s.Chunks != 1_000_000 {
			b.Fatalf("%+v", s)
		}
		bytes = heap() - before
		if err := tier.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(bytes)/1_000_000, "heap-B/chunk")
}

// heap is how much of it is in use, after what is not has gone, and what only that kept.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryOfChunks: a chunk takes no more than 64 bytes of memory, also when each has been read and compared.
func TestMemoryOfChunks(t *testing.T) {
	const versions = 1300 // 130,000 chunks: just below a power of two, as a million is
	dir := t.TempDir()
	manyChunks(t, dir, versions)
	before := heap()
	tier := openTier(t, Config{Dir: dir, Size: 32 << 40, Queue: 1})
	for id := range uint64(versions) {
		for index := range uint32(chunksOfEach) {
			tier.checked.add(chunkKey{id + 1, index}, allBlocks(ChunkSize))
			tier.touch(uint64(index)<<32 | id)
		}
	}
	each := float64(heap()-before) / (versions * chunksOfEach)
	t.Logf("%.1f bytes a chunk", each)
	if each > 64 || tier.Stats().Chunks != versions*chunksOfEach {
		t.Errorf("%.1f bytes a chunk, of %d", each, tier.Stats().Chunks)
	}
}

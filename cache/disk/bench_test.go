package disk

import (
	"fmt"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
)

// millionChunks makes a cache that has a million chunks by its index: ten thousand objects of a hundred each.
func millionChunks(b *testing.B, dir string) {
	tier, err := Open(Config{Dir: dir, Size: 32 << 40, MinFree: 1, Queue: 1})
	if err != nil {
		b.Fatal(err)
	}
	const versions, chunks = 10_000, 100
	record := chunkRecord{present: allBlocks(ChunkSize)}
	err = tier.order(func() error {
		return tier.catalog.index.update(func(tx *bbolt.Tx) error {
			for i := range uint64(versions) {
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
	tier.catalog.mu.Lock()
	tier.catalog.totals = totals{nextID: versions + 1, chunks: versions * chunks, versions: versions, space: versions * chunks * ChunkSize, limit: 32 << 40}
	tier.catalog.chunks[chunkKey{1, 0}] = &record // so that it commits
	tier.catalog.mu.Unlock()
	tier.fitPopularity(versions * chunks)
	if err := tier.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpenMillion opens a cache of a million chunks, and says what it takes of the heap.
func BenchmarkOpenMillion(b *testing.B) {
	dir := b.TempDir()
	millionChunks(b, dir)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
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

package cache

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// instantStore yields bytes at no cost, so that a benchmark shows the cache's own: whoever fills the memory adds that.
type instantStore struct{}

type instantBody struct{ left int64 }

func (instantStore) Open(_ context.Context, _ objstore.Version, r objstore.Range) (io.ReadCloser, error) {
	return &instantBody{r.Len}, nil
}

func (b *instantBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.left, 256<<10) // as much as a socket with large buffers gives at once
	for i := int64(0); i < n; i += pageSize {
		p[i] = 1 // the page is touched, as a socket's copy would
	}
	b.left -= n
	return int(n), nil
}

func (b *instantBody) Close() error { return nil }

func newBenchCache(b *testing.B, s objstore.Opener, memory int64) *Cache {
	c, err := New(Config{Opener: s, Memory: memory})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	return c
}

func benchRead(b *testing.B, c *Cache, v objstore.Version, off, n int64) {
	_, release, _, err := c.Read(context.Background(), v, objstore.Range{Off: off, Len: n})
	if err != nil {
		b.Fatal(err)
	}
	release()
}

// BenchmarkHit is a read of 4 KiB that is here, from 1 and from 8 goroutines.
func BenchmarkHit(b *testing.B) {
	c := newBenchCache(b, instantStore{}, 256<<20)
	v := version("some/ordinary/key/of/a/dataset/shard-000017.tar", 128<<20)
	for off := int64(0); off < v.Size; off += blockSize {
		benchRead(b, c, v, off, blockSize)
	}
	b.Run("goroutines=1", func(b *testing.B) {
		b.ReportAllocs()
		for i := int64(0); b.Loop(); i++ {
			benchRead(b, c, v, i*pageSize%v.Size, pageSize)
		}
	})
	b.Run("goroutines=8", func(b *testing.B) {
		b.SetParallelism(4) // times the cores, which are two where the numbers in the package were taken
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for rng := rand.New(rand.NewPCG(1, 2)); pb.Next(); {
				benchRead(b, c, v, rng.Int64N(v.Size/pageSize)*pageSize, pageSize)
			}
		})
	})
}

// stream reads v in steps, asking two chunks ahead as a prefetcher does.
func stream(b *testing.B, c *Cache, v objstore.Version, step int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for off := int64(0); off < v.Size; off += step {
		if off%chunkSize == 0 {
			c.Fetch(ctx, v, objstore.Range{Off: off, Len: 3 * chunkSize}, objstore.ClassPrefetch, off)
		}
		benchRead(b, c, v, off, min(step, v.Size-off))
	}
}

// BenchmarkStream is a GiB read in requests of 1 MiB, first through memory that holds a quarter of it, so that memory
// is committed once and reused, then into memory that is committed on the way.
func BenchmarkStream(b *testing.B) {
	const size = 1 << 30
	b.Run("reused", func(b *testing.B) {
		c := newBenchCache(b, instantStore{}, 256<<20)
		b.SetBytes(size)
		for i := 0; b.Loop(); i++ {
			stream(b, c, version(string(rune('a'+i%26)), size), blockSize)
		}
	})
	b.Run("fresh", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			c := newBenchCache(b, instantStore{}, size+256<<20)
			stream(b, c, version("fresh", size), blockSize)
		}
	})
}

// BenchmarkSmallObjects reads whole objects of 100 KiB that are not here, through memory that holds a thousandth of
// them.
func BenchmarkSmallObjects(b *testing.B) {
	c := newBenchCache(b, instantStore{}, 64<<20)
	v := version("small", 100<<10)
	b.SetBytes(v.Size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.ETag = string([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
		benchRead(b, c, v, 0, v.Size)
	}
}

// BenchmarkRandomMiss reads pages at random of an object 256 times the memory: nearly every read evicts and fills a
// block.
func BenchmarkRandomMiss(b *testing.B) {
	c := newBenchCache(b, instantStore{}, 64<<20)
	v := version("large", 16<<30)
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		benchRead(b, c, v, rng.Int64N(v.Size/pageSize)*pageSize, pageSize)
	}
}

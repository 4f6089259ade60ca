package hashed

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// keyForm is a way in which people name many objects.
type keyForm struct {
	name string
	key  func(n int) string
	etag func(sum string, n int) string
	most float64 // bytes of the index a key, of ten million; documented in docs/coreweave.md
}

// scattered is a number that looks like chance, and is the same each time.
func scattered(n int) uint64 { return rand.NewPCG(uint64(n), 0).Uint64() }

func keyForms() []keyForm {
	whole := func(sum string, _ int) string { return sum }
	parts := func(sum string, n int) string { return fmt.Sprint(sum, "-", 2+n%200) }
	return []keyForm{
		{"images", func(n int) string { // 500 a directory
			return fmt.Sprintf("datasets/imagenet-21k/train/n%08d/n%08d_%05d.JPEG", n/500, n/500, scattered(n)%100_000)
		}, whole, 46},
		{"archives", func(n int) string { return fmt.Sprintf("datasets/laion/train/shard-%08d.tar", n) }, parts, 38},
		{"random names", func(n int) string { return fmt.Sprintf("data/%016x%016x.bin", scattered(n), scattered(n+1)) }, whole, 62},
	}
}

// entry is the object of a number.
func (f *keyForm) entry(n int) objstore.Entry {
	r := scattered(n)
	sum := fmt.Sprintf("%016x%016x", r, scattered(-n))
	return objstore.Entry{Key: f.key(n), Size: 50_000 + int64(r%200_000), ETag: f.etag(sum, n), ModTime: time.UnixMilli(1.7e12 + int64(r%1e10))}
}

// Of ten million keys, an index takes so many bytes a key as is documented: here of one shard, which has every 256th of
// them.
func TestBytesPerKey(t *testing.T) {
	const keys = MaxKeys / shards
	for _, form := range keyForms() {
		entries := make([]objstore.Entry, keys)
		for i := range entries {
			entries[i] = form.entry(i*shards + int(scattered(i)%shards))
		}
		slices.SortFunc(entries, byKey)
		perKey := float64(newSegment(entries).bytes()) / keys
		t.Logf("%s: %.1f bytes a key of %d", form.name, perKey, len(entries[0].Key))
		if perKey > form.most || perKey < form.most-2 {
			t.Errorf("%s: %.1f bytes a key, should be just below %.0f", form.name, perKey, form.most)
		}
	}
}

// invented is a bucket of objects that are made up when they are listed.
type invented struct {
	objstore.Bucket
	form   *keyForm
	shards [shards][]uint64 // each number with three bytes of its hash above it, in the order of these
}

func newInvented(form *keyForm, keys int) *invented {
	b := &invented{form: form}
	for n := range keys {
		hash, err := strconv.ParseUint(Encode(form.key(n))[:hashLen], 16, 24)
		if err != nil {
			panic(err)
		}
		b.shards[hash>>16] = append(b.shards[hash>>16], hash<<32|uint64(n))
	}
	for i := range b.shards {
		slices.Sort(b.shards[i])
	}
	return b
}

func (b *invented) Name() string     { return "bucket" }
func (b *invented) Endpoint() string { return "http://invented" }

// List lists one shard; nothing is in another form.
func (b *invented) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		if len(opts.Prefix) != 2 {
			yield(objstore.Page{Last: true}, ctx.Err())
			return
		}
		shard, err := strconv.ParseUint(opts.Prefix, 16, 8)
		if err != nil {
			panic(err)
		}
		for numbers := range slices.Chunk(b.shards[shard], 1000) {
			var page objstore.Page
			for _, number := range numbers {
				e := b.form.entry(int(uint32(number)))
				e.Key = fmt.Sprintf("%06x/%s", number>>32, e.Key)
				page.Entries = append(page.Entries, e)
			}
			if !yield(page, ctx.Err()) {
				return
			}
		}
	}
}

// liveBytes is how many bytes of memory are in use, less garbage.
func liveBytes() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// peakDuring is the most memory in use while f runs, with the garbage that the collector leaves for a while.
func peakDuring(f func()) int64 {
	var peak atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			peak.Store(max(peak.Load(), int64(stats.HeapAlloc)))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return peak.Load()
}

// BenchmarkTenMillionKeys makes the largest index there may be, and makes it again. It needs 2 GB of memory and a
// minute for each form of keys:
//
//	go test -run '^$' -bench TenMillionKeys -benchtime 1x ./objstore/hashed
func BenchmarkTenMillionKeys(b *testing.B) {
	for _, form := range keyForms() {
		b.Run(form.name, func(b *testing.B) {
			bucket := newInvented(&form, MaxKeys)
			for b.Loop() {
				before, now := liveBytes(), time.Now()
				hashed := New(bucket, Options{TTL: time.Minute, Now: func() time.Time { return now }})
				made := func() {
					if err := hashed.index.await(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				first := peakDuring(made) - before
				if keys, _ := hashed.Size(); keys != MaxKeys {
					b.Fatalf("%d keys", keys)
				}
				took, held := b.Elapsed(), liveBytes()-before
				now = now.Add(2 * staleFactor * time.Minute) // nobody goes by it any more: who asks waits for the next
				again := peakDuring(made) - before
				b.ReportMetric(float64(held)/MaxKeys, "bytes/key")
				b.ReportMetric(float64(held)/1e6, "MB")
				b.ReportMetric(float64(first)/1e6, "MB-peak-first")
				b.ReportMetric(float64(again)/1e6, "MB-peak-again")
				b.ReportMetric(took.Seconds(), "s-first")
				if err := hashed.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

const mib = 1 << 20

func versionOf(key string, size int64) objstore.Version {
	return objstore.Version{Endpoint: "http://store", Bucket: "b", Key: key, ETag: "e-" + key, Size: size}
}

// noise is what contents are made of: to draw all of their bytes was most of what these tests took under the race
// detector.
var noise = sync.OnceValue(func() []byte {
	p := make([]byte, 5000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	return p
})

// contentOf is a version's chunk: the same bytes each time. Each sector of a disk tells whose it is, and where, so that
// none can be taken for another.
func contentOf(v objstore.Version, chunk int64) []byte {
	const sector = 512 // bytes
	h := hashVersion(v)
	b := alignedBytes(chunkLength(v.Size, uint32(chunk)))
	for n := copy(b, noise()[h[0]:]); n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
	whose := binary.LittleEndian.Uint64(h[:])
	for off := 0; off+16 <= len(b); off += sector {
		binary.LittleEndian.PutUint64(b[off:], whose)
		binary.LittleEndian.PutUint64(b[off+8:], uint64(chunk*ChunkSize)+uint64(off))
	}
	return b
}

// alignedBytes is memory as the cache's arena has it.
func alignedBytes(n int) []byte {
	b, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return b[:n:n]
}

func freeBytes(b []byte) { _ = unix.Munmap(b[:max(len(b), 1)]) }

// openTier opens a tier whose size, if cfg has one, is that of the chunks.
func openTier(t *testing.T, cfg Config) *Tier {
	t.Helper()
	if cfg.Size != 0 {
		cfg.Size += indexSetAside
	}
	if cfg.Queue == 0 {
		cfg.Queue = 256 * mib
	}
	if cfg.Size == 0 {
		cfg.Size = 1 << 30
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = 1
	}
	tier, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
	})
	return tier
}

// keep offers blocks of a chunk and waits until it is known what became of them.
func keep(t *testing.T, tier *Tier, v objstore.Version, chunk int64, blocks Blocks) {
	t.Helper()
	data := contentOf(v, chunk)
	defer freeBytes(data)
	done := make(chan struct{})
	if !tier.Offer(&Offer{Version: v, Chunk: chunk, Data: data, Blocks: blocks, Reader: 1, Done: func() { close(done) }}) {
		t.Fatal("refused")
	}
	<-done
}

func keepAll(t *testing.T, tier *Tier, v objstore.Version) {
	t.Helper()
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		keep(t, tier, v, chunk, allBlocks(chunkLength(v.Size, uint32(chunk))))
	}
}

// found reads all that is there of a chunk and compares it.
func found(tb testing.TB, tier *Tier, v objstore.Version, chunk int64) (blocks Blocks) {
	tb.Helper()
	h := tier.Hold(v, chunk)
	if h == nil {
		return 0
	}
	defer h.Release()
	want := contentOf(v, chunk)
	defer freeBytes(want)
	got := alignedBytes(BlockSize)
	defer freeBytes(got)
	for i := range blocksPerChunk {
		if !h.Blocks().Has(i) {
			continue
		}
		n := blockLength(len(want), i)
		if !h.Read(got[:n], i*BlockSize) {
			continue
		}
		if !bytes.Equal(got[:n], want[i*BlockSize:i*BlockSize+n]) {
			tb.Fatalf("%v chunk %d block %d: wrong bytes", v, chunk, i)
		}
		blocks |= 1 << i
	}
	return blocks
}

// Two offers of one chunk that wait together are both kept.
func TestChunkOfferedTwice(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir()})
	v := versionOf("twice", ChunkSize)
	data := contentOf(v, 0)
	defer freeBytes(data)
	busy := make(chan struct{})
	ordered := make(chan error, 1)
	go func() { ordered <- tier.order(func() error { <-busy; return nil }) }()
	done := make(chan struct{}, 2)
	for _, blocks := range []Blocks{1<<4 | 1<<5, 1 << 9} {
		if !tier.Offer(&Offer{Version: v, Data: data, Blocks: blocks, Reader: 1, Done: func() { done <- struct{}{} }}) {
			t.Fatal("refused")
		}
	}
	close(busy)
	if err := <-ordered; err != nil {
		t.Fatal(err)
	}
	<-done
	<-done
	if got, want := found(t, tier, v, 0), Blocks(1<<4|1<<5|1<<9); got != want {
		t.Errorf("%016b are on the disk, want %016b", got, want)
	}
}

// TestKept: what was offered is there, also after a restart, for objects of all sizes.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	var versions []objstore.Version
	for _, size := range []int64{1, 100, 4096, 4097, mib - 1, mib, mib + 1, ChunkSize, ChunkSize + 1, 2*ChunkSize + 3*mib + 5} {
		versions = append(versions, versionOf(fmt.Sprint("object-", size), size))
	}
	tier := openTier(t, Config{Dir: filepath.Join(dir, "c")})
	check := func() {
		t.Helper()
		for _, v := range versions {
			for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
				if got := found(t, tier, v, chunk); got != allBlocks(chunkLength(v.Size, uint32(chunk))) {
					t.Errorf("%v chunk %d: found %016b", v, chunk, got)
				}
			}
			if got := tier.Cached(v); got != v.Size {
				t.Errorf("%v: %d bytes", v, got)
			}
			st, err := os.Stat(tier.dir.dataFile(mustVersion(t, tier, v).id))
			if err != nil || st.Size() != v.Size {
				t.Errorf("%v: data file %v, %v", v, st, err)
			}
		}
	}
	for _, v := range versions {
		keepAll(t, tier, v)
	}
	check()
	changed := versions[3]
	changed.ETag = "other"
	if found(t, tier, changed, 0) != 0 {
		t.Error("found under another ETag")
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, Config{Dir: filepath.Join(dir, "c")})
	check()
	if s := tier.Stats(); s.Chunks != 12+1 || s.Versions != int64(len(versions)) || s.Corrupt+s.Lost+s.Errors != 0 {
		t.Errorf("%+v", s)
	}
}

func mustVersion(t *testing.T, tier *Tier, v objstore.Version) versionRecord {
	t.Helper()
	r, ok, err := tier.catalog.version(hashVersion(v))
	if !ok || err != nil {
		t.Fatalf("%v: %v %v", v, ok, err)
	}
	return r
}

// TestReadParts: any part of a block, the first time it is used and later.
func TestReadParts(t *testing.T) {
	dir := t.TempDir()
	v := versionOf("k", 3*mib+777)
	tier := openTier(t, Config{Dir: dir})
	keepAll(t, tier, v)
	want := contentOf(v, 0)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2 {
		for range 100 {
			off := rnd.IntN(len(want))
			n := 1 + rnd.IntN(min(len(want)-off, BlockSize-off%BlockSize))
			h := tier.hold(v, 0)
			got := make([]byte, n)
			if !h.Read(got, off) || !bytes.Equal(got, want[off:off+n]) {
				t.Fatalf("%d bytes at %d: wrong", n, off)
			}
			h.Release()
			tier.checked.forget(h.key, h.Blocks())
		}
	}
}

// diskUsage is how much of the disk the data files below dir take.
func diskUsage(tb testing.TB, dir string) (n int64) {
	tb.Helper()
	for _, sub := range []string{dataDirectory, trashDirectory} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(path string, e os.DirEntry, err error) error {
			if errors.Is(err, unix.ENOENT) { // swept meanwhile
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				if errors.Is(err, unix.ENOENT) {
					return nil
				}
				return err
			}
			n += st.Blocks * 512
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return n
}

// TestDirectory: whose it is, and that one at a time has it.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	tier := openTier(t, Config{Dir: dir})
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second owner: %v", err)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrTooOpen) {
		t.Errorf("open to others: %v", err)
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrNotOurs) {
		t.Errorf("somebody else's: %v", err)
	}
	other := t.TempDir()
	if err := errors.Join(os.Chmod(other, 0o700), os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: other}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("with files in it: %v", err)
	}
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, markerFile), []byte("format 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("another format was taken")
	}
}

// TestLimitHolds: whatever is offered, neither the count nor the files exceed the limit, and what is there is right.
func TestLimitHolds(t *testing.T) {
	dir := t.TempDir()
	const limit = 20 * mib
	look := func(step string) { // on the writer's goroutine, so that nothing moves meanwhile
		if used := diskUsage(t, dir); used > limit {
			t.Errorf("%s: %d bytes on disk", step, used)
		}
	}
	tier := openTier(t, Config{Dir: dir, Size: limit, Queue: 64 * mib, crash: look})
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 150 {
		v := versionOf(fmt.Sprint(i%40), 1+rnd.Int64N(3*mib))
		for range rnd.IntN(4) {
			tier.Used(v, 0)
		}
		keepAll(t, tier, v)
		found(t, tier, v, 0)
	}
	s := tier.Stats()
	if s.Used > limit || s.Used < limit/2 || s.Evicted == 0 || s.Rejected == 0 || s.Errors != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "in step with the files", func() bool {
		used := diskUsage(t, dir)
		return used <= tier.Stats().Used && used > tier.Stats().Used-mib
	})
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, Config{Dir: dir, Size: limit / 4})
	eventually(t, "shrunk", func() bool { return tier.Stats().Used <= limit/4 && diskUsage(t, dir) <= limit/4 })
}

// TestInUseStays: a chunk that is being read is neither evicted nor changed under its reader.
func TestInUseStays(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir(), Size: 6 * mib})
	v := versionOf("held", 2*mib)
	keepAll(t, tier, v)
	h := tier.Hold(v, 0)
	for i := range 20 {
		w := versionOf(fmt.Sprint(i), 2*mib)
		for range 5 {
			tier.Used(w, 0)
		}
		keepAll(t, tier, w)
	}
	want, got := contentOf(v, 0), make([]byte, mib)
	for i := range 2 {
		if !h.Read(got, i*mib) || !bytes.Equal(got, want[i*mib:(i+1)*mib]) {
			t.Errorf("block %d is gone", i)
		}
	}
	h.Release()
	if err := tier.order(func() error { _, err := tier.evictSome(10, math.MaxInt64); return err }); err != nil {
		t.Fatal(err)
	}
	if found(t, tier, v, 0) != 0 {
		t.Error("it stays after its reader has gone")
	}
}

// TestPopularitySurvives a restart: what was read often is not pushed out by what comes once.
func TestPopularitySurvives(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Size: 8 * mib}
	tier := openTier(t, cfg)
	hot := versionOf("hot", 2*mib)
	keepAll(t, tier, hot)
	for range 10 {
		tier.Used(hot, 0)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, cfg)
	for i := range 40 {
		v := versionOf(fmt.Sprint("cold", i), 2*mib)
		tier.Used(v, 0)
		keepAll(t, tier, v)
	}
	if found(t, tier, hot, 0) != 0b11 {
		t.Error("pushed out by what was asked for once")
	}
}

package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

var modelSeeds = flag.Int("seeds", 150, "how many seeds TestModel tries")

// operation is one step of a model run; what it means for its number is decided by apply, so that a list of them can be
// shortened.
type operation struct {
	kind   string
	number uint64
}

func (o operation) String() string { return fmt.Sprintf("%s %d", o.kind, o.number) }

var operationKinds = []string{"fill", "fill", "fill", "read", "read", "use", "evict", "pin", "unpin", "adopt", "lease", "full", "giveUp", "crash", "corrupt", "restart", "resize"}

// modelRun is a tier and what is known of it by other means.
type modelRun struct {
	tb     *failing
	dir    string
	tier   *Tier
	limit  int64
	pinned map[string]bool
	leases map[objstore.Version]*Lease
}

// failing collects the first failure, so that a run can be repeated with fewer operations.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}

const modelLimit = 6 * mib

const modelVersions = 9

func modelVersion(n uint64) objstore.Version {
	sizes := []int64{1, 4096, 100_000, mib, mib + 1, 2*mib + 5, ChunkSize + mib + 5}
	return versionOf(fmt.Sprint("m", n%modelVersions), sizes[n%modelVersions%uint64(len(sizes))])
}

// modelChunk is one of the chunks of a version.
func modelChunk(v objstore.Version, n uint64) int64 {
	return int64(n>>5) % ((v.Size + ChunkSize - 1) / ChunkSize)
}

func (m *modelRun) open(limit int64) {
	m.limit = limit
	var err error
	if m.tier, err = Open(Config{Dir: m.dir, Size: limit + indexSetAside, MinFree: 1, Queue: 64 * mib}); err != nil {
		m.tb.Fatalf("open: %v", err)
	}
}

// crash leaves the tier as a process that is killed does: nothing more is committed.
func (m *modelRun) crash() {
	t := m.tier
	t.health.mu.Lock()
	t.health.broken = true // the last commit is not made
	t.health.mu.Unlock()
	m.close()
}

func (m *modelRun) close() {
	for v, l := range m.leases {
		l.Release()
		delete(m.leases, v)
	}
	if err := m.tier.Close(); err != nil {
		m.tb.Fatalf("close: %v", err)
	}
}

// fill offers blocks of a chunk, all of them or some.
func (m *modelRun) fill(v objstore.Version, n uint64) {
	chunk := modelChunk(v, n)
	data := contentOf(v, chunk)
	defer freeBytes(data)
	done := make(chan struct{})
	blocks := allBlocks(len(data))
	if n%3 == 0 || len(data) > modelLimit {
		blocks &= Blocks(n >> 8)
	}
	if blocks != 0 && m.tier.Offer(&Offer{Version: v, Chunk: chunk, Data: data, Blocks: blocks, Done: func() { close(done) }}) {
		<-done
	}
}

// adopt has a written file taken over.
func (m *modelRun) adopt(v objstore.Version) {
	if v.Size > modelLimit {
		return
	}
	data := contentOf(v, 0)
	defer freeBytes(data)
	if err := adoptOne(m.tier, v, data); err != nil {
		m.tb.Fatalf("%v", err)
	}
}

// lease takes a lease, or ends it.
func (m *modelRun) lease(v objstore.Version) {
	if l := m.leases[v]; l != nil {
		l.Release()
		delete(m.leases, v)
	} else if l := m.tier.Lease(v); l != nil {
		m.leases[v] = l
	}
}

// checkLeases reads what is leased.
func (m *modelRun) checkLeases() {
	for v, l := range m.leases {
		want, got := contentOf(v, 0), make([]byte, v.Size)
		if _, err := l.File().ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			m.tb.Fatalf("what is leased of %v is not what was written: %v", v, err)
		}
		freeBytes(want)
	}
}

func (m *modelRun) apply(op operation) {
	v := modelVersion(op.number)
	switch op.kind {
	case "fill":
		m.fill(v, op.number)
	case "full": // others fill the disk while it is written
		m.order(func() error { m.tier.cfg.crash = m.othersFill; return nil })
		m.fill(v, op.number)
		m.order(func() error { m.tier.cfg.crash = func(string) {}; return nil })
	case "adopt":
		m.adopt(v)
	case "lease":
		m.lease(v)
	case "giveUp":
		if n, err := m.tier.Evict(v); err != nil || m.leases[v] == nil && m.tier.Cached(v) != 0 || m.leases[v] != nil && n != 0 {
			m.tb.Fatalf("%v: %d bytes given up, %d are left: %v", v, n, m.tier.Cached(v), err)
		}
		m.pinned[v.Key] = m.pinned[v.Key] && m.leases[v] != nil
	case "read":
		chunk := modelChunk(v, op.number)
		present := m.tier.Present(v, chunk)
		got := found(m.tb, m.tier, v, chunk)
		if got&^present != 0 {
			m.tb.Fatalf("%v: %b found, %b present", v, got, present)
		}
	case "use":
		m.tier.Used(v, modelChunk(v, op.number))
	case "evict":
		m.order(func() error { _, err := m.tier.evictSome(int(op.number%3)+1, math.MaxInt64); return err })
	case "pin", "unpin":
		m.order(func() error { return m.tier.setPin(hashVersion(v), op.kind == "pin") })
		m.pinned[v.Key] = op.kind == "pin" && m.tier.Cached(v) > 0
	case "crash":
		m.order(func() error { m.tier.commit(nil); return nil }) // what is pinned is known from here on
		m.crash()
		m.open(m.limit)
	case "corrupt":
		if m.leases[v] != nil { // who reads by a lease trusts the disk
			return
		}
		if r, ok, _ := m.tier.catalog.version(hashVersion(v)); ok {
			off := int64(op.number*997) % v.Size
			k := chunkKey{r.id, uint32(off / ChunkSize)}
			m.tier.checked.forget(k, ^Blocks(0))
			c, _, _ := m.tier.catalog.chunk(k)
			if c.present.Has(int(off % ChunkSize / BlockSize)) {
				m.flip(m.tier.dir.dataFile(r.id), off)
			}
			found(m.tb, m.tier, v, int64(k.index))
			m.pinned[v.Key] = false
		}
	case "restart":
		m.close()
		m.open(m.limit)
	case "resize":
		m.close()
		m.open(modelLimit/2 + int64(op.number%uint64(modelLimit/2)))
		m.order(func() error { m.tier.shrink(); return nil })
	}
}

// othersFill is what others do to the disk at a step.
func (m *modelRun) othersFill(step string) {
	switch step {
	case "before data":
		m.tier.space.minFree = 1 << 50
	case "after data":
		m.tier.space.minFree = 1
	}
}

func (m *modelRun) flip(path string, off int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		m.tb.Fatalf("%v", err)
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, 1)
	_, _ = f.ReadAt(b, off)
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, off); err != nil {
		m.tb.Fatalf("%v", err)
	}
}

func (m *modelRun) order(do func() error) {
	if err := m.tier.order(do); err != nil {
		m.tb.Fatalf("%v", err)
	}
}

// check is what must hold after each operation.
func (m *modelRun) check() {
	if err := m.tier.check(); err != nil {
		m.tb.Fatalf("%v", err)
	}
	sums := m.tier.catalog.sums()
	used := m.usage()
	anyPinned := false
	for key, pinned := range m.pinned {
		anyPinned = anyPinned || pinned
		for n := range uint64(modelVersions) {
			if v := modelVersion(n); pinned && v.Key == key && m.tier.Cached(v) == 0 {
				m.tb.Fatalf("%v was pinned and is gone", v)
			}
		}
	}
	m.checkLeases()
	if m.tier.catalog.index.space.Load() > indexSetAside {
		m.tb.Fatalf("the index has %d bytes", m.tier.catalog.index.space.Load())
	}
	if sums.space > m.limit && !anyPinned && len(m.leases) == 0 || used > sums.space {
		m.tb.Fatalf("limit %d, index %d, on disk %d", m.limit, sums.space, used)
	}
}

// usage is diskUsage without a look into all 256 directories, which would take most of a run's time.
func (m *modelRun) usage() (n int64) {
	for id := uint64(1); id < m.tier.catalog.sums().nextID; id++ {
		var st unix.Stat_t
		if err := unix.Stat(m.tier.dir.dataFile(id), &st); err == nil {
			n += st.Blocks * 512
		} else if !errors.Is(err, unix.ENOENT) {
			m.tb.Fatalf("%v", err)
		}
	}
	return n
}

// runModel applies operations; the message of the first failure.
func runModel(tb testing.TB, dir string, operations []operation) (failure string) {
	m := &modelRun{tb: &failing{TB: tb}, dir: dir, pinned: map[string]bool{}, leases: map[objstore.Version]*Lease{}}
	if err := os.RemoveAll(dir); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if reason := recover(); reason != nil && reason != any(m.tb) {
			failure = fmt.Sprint(reason)
		}
		if m.tb.message != "" {
			failure = m.tb.message
		}
		for _, l := range m.leases {
			l.Release()
		}
		_ = m.tier.Close()
	}()
	m.open(modelLimit)
	for _, op := range operations {
		m.apply(op)
		m.check()
	}
	if all, used := diskUsage(m.tb, dir), m.usage(); all != used {
		m.tb.Fatalf("%d bytes on disk, of which %d are in the index's files", all, used)
	}
	return ""
}

// TestModel does operations at random. What fails is made short before it is told.
func TestModel(t *testing.T) {
	dir := filepath.Join(onDisk(t, 256*mib), "c")
	for seed := range uint64(*modelSeeds) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		operations := make([]operation, 25)
		for i := range operations {
			operations[i] = operation{operationKinds[rnd.IntN(len(operationKinds))], rnd.Uint64N(1 << 20)}
		}
		failure := runModel(t, dir, operations)
		if failure == "" {
			continue
		}
		for i := 0; i < len(operations); { // leave out what the failure does not need
			shorter := append(append([]operation{}, operations[:i]...), operations[i+1:]...)
			if f := runModel(t, dir, shorter); f != "" {
				operations, failure = shorter, f
			} else {
				i++
			}
		}
		t.Fatalf("seed %d: %s\nwith %v", seed, failure, operations)
	}
}

// TestModelCases are runs that failed once.
func TestModelCases(t *testing.T) {
	dir := filepath.Join(onDisk(t, 256*mib), "c")
	for _, text := range []string{"fill 851968 fill 483889 corrupt 286888"} {
		var operations []operation
		words := strings.Fields(text)
		for i := 0; i+1 < len(words); i += 2 {
			var n uint64
			_, _ = fmt.Sscan(words[i+1], &n)
			operations = append(operations, operation{words[i], n})
		}
		if failure := runModel(t, dir, operations); failure != "" {
			t.Errorf("%s: %s", text, failure)
		}
	}
}

package disk

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
)

var modelSeeds = flag.Int("seeds", 60, "how many seeds TestModel tries")

// operation is one step of a model run; what it means for its number is decided by apply, so that a list of them can be shortened.
type operation struct {
	kind   string
	number uint64
}

func (o operation) String() string { return fmt.Sprintf("%s %d", o.kind, o.number) }

var operationKinds = []string{"fill", "fill", "fill", "read", "read", "use", "evict", "pin", "unpin", "crash", "corrupt", "restart", "resize"}

// modelRun is a tier and what is known of it by other means.
type modelRun struct {
	tb     *failing
	dir    string
	tier   *Tier
	limit  int64
	pinned map[string]bool
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

func modelVersion(n uint64) objstore.Version {
	sizes := []int64{1, 4096, 100_000, mib, mib + 1, 2*mib + 5}
	return versionOf(fmt.Sprint("m", n%9), sizes[n%9%uint64(len(sizes))])
}

func (m *modelRun) open(limit int64) {
	m.limit = limit
	var err error
	if m.tier, err = Open(Config{Dir: m.dir, Size: limit, MinFree: 1, Queue: 64 * mib}); err != nil {
		m.tb.Fatalf("open: %v", err)
	}
}

// crash leaves the tier as a process that is killed does: nothing more is committed.
func (m *modelRun) crash() {
	t := m.tier
	t.health.mu.Lock()
	t.health.broken = true // the last commit is not made
	t.health.mu.Unlock()
	if err := t.Close(); err != nil {
		m.tb.Fatalf("close: %v", err)
	}
}

func (m *modelRun) apply(op operation) {
	v := modelVersion(op.number)
	switch op.kind {
	case "fill":
		data := contentOf(v, 0)
		defer freeBytes(data)
		done := make(chan struct{})
		blocks := allBlocks(len(data))
		if op.number%3 == 0 {
			blocks &= Blocks(op.number >> 8)
		}
		if blocks == 0 || !m.tier.Offer(&Offer{Version: v, Data: data, Blocks: blocks, Done: func() { close(done) }}) {
			return
		}
		<-done
	case "read":
		present := m.tier.Present(v, 0)
		got := found(m.tb, m.tier, v, 0)
		if got&^present != 0 {
			m.tb.Fatalf("%v: %b found, %b present", v, got, present)
		}
	case "use":
		m.tier.Used(v, 0)
	case "evict":
		m.order(func() error { _, err := m.tier.evictSome(int(op.number%3) + 1); return err })
	case "pin", "unpin":
		m.order(func() error { return m.tier.setPin(hashVersion(v), op.kind == "pin") })
		m.pinned[v.Key] = op.kind == "pin" && m.tier.Cached(v) > 0
	case "crash":
		m.order(func() error { m.tier.commit(nil); return nil }) // what is pinned is known from here on
		m.crash()
		m.open(m.limit)
	case "corrupt":
		if r, ok, _ := m.tier.catalog.version(hashVersion(v)); ok {
			m.tier.checked.forget(chunkKey{r.id, 0}, ^Blocks(0))
			c, _, _ := m.tier.catalog.chunk(chunkKey{r.id, 0})
			if off := int64(op.number) % v.Size; c.present.Has(int(off / BlockSize)) {
				m.flip(m.tier.dir.dataFile(r.id), off)
			}
			found(m.tb, m.tier, v, 0)
			m.pinned[v.Key] = false
		}
	case "restart":
		if err := m.tier.Close(); err != nil {
			m.tb.Fatalf("close: %v", err)
		}
		m.open(m.limit)
	case "resize":
		if err := m.tier.Close(); err != nil {
			m.tb.Fatalf("close: %v", err)
		}
		m.open(modelLimit/2 + int64(op.number%uint64(modelLimit/2)))
		m.order(func() error { m.tier.shrink(); return nil })
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
	used := diskUsage(m.tb, m.dir)
	anyPinned := false
	for key, pinned := range m.pinned {
		anyPinned = anyPinned || pinned
		for n := range uint64(9) {
			if v := modelVersion(n); pinned && v.Key == key && m.tier.Cached(v) == 0 {
				m.tb.Fatalf("%v was pinned and is gone", v)
			}
		}
	}
	if sums.space > m.limit && !anyPinned || used > sums.space {
		m.tb.Fatalf("limit %d, index %d, on disk %d", m.limit, sums.space, used)
	}
}

// runModel applies operations; the message of the first failure.
func runModel(tb testing.TB, dir string, operations []operation) (failure string) {
	m := &modelRun{tb: &failing{TB: tb}, dir: dir, pinned: map[string]bool{}}
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
		_ = m.tier.Close()
	}()
	m.open(modelLimit)
	for _, op := range operations {
		m.apply(op)
		m.check()
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

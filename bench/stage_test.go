package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore/memstore"
)

// several are so many objects of a size.
func several(n int, size int64) (out []object) {
	for i := range n {
		out = append(out, sized(string(rune('a'+i)), size))
	}
	return out
}

// A dataset is read in a cycle as it is, shuffled anew in each epoch, and always whole.
func TestOrder(t *testing.T) {
	dataset := several(20, dataSize)
	paths := func(w workload) (all []string) {
		for _, o := range w.order(dataset) {
			all = append(all, o.path)
		}
		return all
	}
	whole := paths(workload{kind: kindEpoch})
	for epoch := range 3 {
		if got := paths(workload{kind: kindEpoch, epoch: epoch}); !slices.Equal(got, whole) {
			t.Errorf("cycle %d: %q", epoch, got)
		}
		shuffled := paths(workload{kind: kindEpoch, shuffled: true, epoch: epoch})
		next := paths(workload{kind: kindEpoch, shuffled: true, epoch: epoch + 1})
		if slices.Equal(shuffled, whole) || slices.Equal(shuffled, next) {
			t.Errorf("epoch %d: %q, then %q", epoch, shuffled, next)
		}
		if slices.Sort(shuffled); !slices.Equal(shuffled, whole) {
			t.Errorf("epoch %d: not all of %q", epoch, shuffled)
		}
	}
	// Small files come in no directory's order, and in the same one on both sides.
	small := workload{kind: kindFiles}
	if got := paths(small); slices.Equal(got, whole) || !slices.Equal(got, paths(small)) {
		t.Errorf("small files: %q", got)
	}
}

// The dataset is twice what the disk cache gets, and that is never less than a cache may have.
func TestDatasetIsTwiceTheCache(t *testing.T) {
	for size, room := range map[int64]int64{1: 64 * mib, 128 * mib: 64 * mib, 200 * mib: 96 * mib, 2 * gib: gib} {
		if got := roomFor(size); got != room {
			t.Errorf("of %d: %d", size, got)
		}
	}
	m := newMaker(memstore.New("b"), "run/")
	o, err := m.make(t.Context(), 140*mib, 0, func(kinds ...kind) bool { return kinds[0] == kindEpoch })
	if err != nil || total(o.dataset) != 128*mib || total(o.cacheable()) != 0 {
		t.Errorf("%d of %d bytes, %v", len(o.dataset), total(o.dataset), err)
	}
}

// Each object is cached once, however many workloads read it.
func TestCacheable(t *testing.T) {
	all := several(6, mib)
	o := objects{large: all[0], streams: all[:4], small: all}
	if got := o.cacheable(); len(got) != len(all) || total(got) != 6*mib {
		t.Errorf("%v", got)
	}
	if got := (objects{small: all[:2]}).cacheable(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// The kernel is waited for where it may read by itself only.
func TestPassable(t *testing.T) {
	o := objects{large: sized("large", 8*mib), streams: []object{sized("s", mib), sized("t", mib-1)}, small: several(2, 4*mib)}
	for kind, want := range map[kind][]string{kindSequential: {"large"}, kindRandom: {"large"}, kindStreams: {"s"}, kindFiles: nil} {
		if got := (workload{kind: kind}).passable(o); !slices.Equal(got, want) {
			t.Errorf("kind %d: %q", kind, got)
		}
	}
}

// A workload that would measure something else, or fill the disk, is not measured; the reason says what to do.
func TestImpossible(t *testing.T) {
	onDisk, inMemory := localDisk{dir: t.TempDir() + "/disk"}, localDisk{dir: "/dev/shm/disk"}
	first, twice := workload{kind: kindSequential, stage: stageFirst}, workload{kind: kindEpoch, stage: stageTwice}
	daemon := workload{kind: kindSequential, stage: stageDaemon}
	large := func(size int64) objects { return objects{large: sized("large", size)} }
	for name, c := range map[string]struct {
		target target
		w      workload
		says   string // "" for nothing
	}{
		"the store alone":    {target{disk: inMemory, objects: large(1 << 50)}, workload{kind: kindSequential}, ""},
		"fits":               {target{disk: onDisk, objects: large(mib)}, first, ""},
		"too large":          {target{disk: onDisk, objects: large(1 << 50)}, first, "smaller --size"},
		"in memory":          {target{disk: inMemory, objects: large(mib)}, first, "--dir"},
		"too small":          {target{disk: onDisk, objects: objects{dataset: several(3, mib)}}, twice, "less than 128 MiB"},
		"more than memory":   {target{disk: localDisk{dir: onDisk.dir, filled: true}, objects: large(1 << 50)}, daemon, "of memory"},
		"cached already":     {target{disk: localDisk{dir: onDisk.dir, filled: true}, objects: large(1 << 50)}, workload{kind: kindSequential, stage: stageDisk}, ""},
		"not cached already": {target{disk: onDisk, objects: large(1 << 50)}, workload{kind: kindSequential, stage: stageDisk}, "have to be free"},
	} {
		if got := c.target.impossible(c.w); c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestMeasuredAdd(t *testing.T) {
	one := measured{bytes: 1, reads: 2, elapsed: 3, cpu: 4, latencies: []time.Duration{1, 9}}
	two := measured{bytes: 10, reads: 20, elapsed: 30, cpu: 40, latencies: []time.Duration{5}, cut: true}
	m := measured{}.add(one).add(two)
	if m.bytes != 11 || m.reads != 22 || m.elapsed != 33 || m.cpu != 44 || !m.cut || !slices.Equal(m.latencies, []time.Duration{1, 5, 9}) {
		t.Errorf("%+v", m)
	}
}

// What the kernel did not ask for it read by itself, from the disk cache; what the page cache answers says nothing.
func TestFromDisk(t *testing.T) {
	read := measured{bytes: 100, reads: 1, elapsed: time.Second}
	for name, c := range map[string]struct {
		w    workload
		used spent
		want float64
	}{
		"by the kernel":  {workload{stage: stageDisk}, spent{}, 1},
		"by the daemon":  {workload{stage: stageDaemon}, spent{answered: 100, local: 100}, 1},
		"ahead of needs": {workload{stage: stageDaemon}, spent{answered: 100, local: 120}, 1},
		"half of it":     {workload{stage: stageTwice}, spent{answered: 80, local: 30, fetched: 50}, 0.5},
		"none":           {workload{stage: stageFirst}, spent{answered: 100, fetched: 100}, 0},
		"readahead":      {workload{stage: stageFirst}, spent{answered: 110, fetched: 110}, 0},
		"page cache":     {workload{stage: stageDisk, warm: true}, spent{}, 0},
		"no disk cache":  {workload{}, spent{answered: 50}, 0},
	} {
		if got := row(c.w, read, read, c.used).FromDisk; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

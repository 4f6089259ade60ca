package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// powerLoss is what a cache does until the power goes.
type powerLoss struct {
	image    string
	limit    int64
	versions []objstore.Version
	work     func(*Tier, *rand.Rand) error // something at random
}

// TestPowerLoss: when the power goes at any step, what the disk had not been made to keep is lost, of the index, the
// files and the directories. Blocks are right or absent all the same, and the disk has no more than it may.
func TestPowerLoss(t *testing.T) {
	p := powerLoss{limit: crashLimit, versions: crashVersions(), work: workOnce}
	p.run(t, 24, func(seed uint64) int { return 1 + 7*int(seed) })
}

// TestPowerLossOfWhatIsAdopted is the same for files of several chunks that were just written and become data files,
// with the writing of them in the page cache or on the disk.
func TestPowerLossOfWhatIsAdopted(t *testing.T) {
	p := powerLoss{limit: 72 * mib}
	for i := range int64(5) {
		p.versions = append(p.versions, versionOf(fmt.Sprint("large", i), ChunkSize+(i%3)*9*mib+77))
	}
	p.work = func(tier *Tier, rnd *rand.Rand) error {
		v := p.versions[rnd.IntN(len(p.versions))]
		if rnd.IntN(4) == 0 {
			_, err := tier.Evict(v)
			return err
		}
		return adoptLarge(tier, v, rnd.IntN(2) == 0)
	}
	p.run(t, 10, func(seed uint64) int { return 1 + 3*int(seed) })
}

// adoptLarge has a file of a version of several chunks be taken over, which was synced as that of an upload is, or not.
func adoptLarge(tier *Tier, v objstore.Version, synced bool) error {
	f, err := os.CreateTemp(filepath.Dir(tier.dir.path), "written-")
	if err != nil {
		return err
	}
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		data := contentOf(v, chunk)
		_, failed := f.Write(data)
		err = errors.Join(err, failed)
		freeBytes(data)
	}
	if synced {
		err = errors.Join(err, f.Sync())
	}
	tier.Adopt(v, f, 0)
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// run cuts the power once for each seed, each time in a cache that has come through the times before.
func (p powerLoss) run(t *testing.T, seeds uint64, step func(seed uint64) int) {
	p.image = filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(p.image, nil, 0o600), os.Truncate(p.image, 256*mib)); err != nil {
		t.Fatal(err)
	}
	makeExt4(t, p.image)
	kept := 0
	for seed := range seeds {
		p.workUntil(t, seed, step(seed))
		kept += p.check(t, seed)
	}
	if kept == 0 {
		t.Error("nothing was ever kept")
	}
}

// workUntil works on the cache in the image, and cuts the power at a step.
func (p powerLoss) workUntil(t *testing.T, seed uint64, step int) {
	t.Helper()
	dir, unmount := mounted(t, p.image)
	defer unmount()
	written, _ := filepath.Glob(filepath.Join(dir, "written-*")) // the pattern is right
	for _, name := range written {                               // as who has written them would
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	var steps atomic.Int64
	var failed error
	crash := func(string) {
		switch steps.Add(1) {
		case int64(step) * 2 / 3: // as the kernel does every few seconds
			unix.Sync()
		case int64(step):
			failed = shutDown(dir)
		}
	}
	tier, err := Open(Config{Dir: filepath.Join(dir, "c"), Size: p.limit + indexSetAside, MinFree: 1, Queue: 64 * mib, boot: fmt.Sprint(seed), crash: crash})
	if err != nil {
		if steps.Load() < int64(step) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return // it went while it was opened
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	for steps.Load() < int64(step) {
		if err := p.work(tier, rnd); err != nil && steps.Load() < int64(step) {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	_ = tier.Close() // the disk takes nothing any more
	if failed != nil {
		t.Fatal(failed)
	}
}

// mounted mounts an image until unmount.
func mounted(t *testing.T, image string) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	loop(t, image, "loop", dir)
	return dir, func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// check opens the cache after the power has come back.
func (p powerLoss) check(t *testing.T, seed uint64) (kept int) {
	t.Helper()
	dir, unmount := mounted(t, p.image)
	defer unmount()
	tier, err := Open(Config{Dir: filepath.Join(dir, "c"), Size: p.limit + indexSetAside, MinFree: 1, Queue: 64 * mib, boot: fmt.Sprint(seed, " again")})
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer func() {
		if err := tier.Close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}()
	eventually(t, fmt.Sprintf("seed %d: what the index does not know has gone", seed), func() bool {
		used := diskUsage(t, tier.dir.path)
		return used <= tier.catalog.sums().space && used <= p.limit
	})
	for _, v := range p.versions {
		for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
			present := tier.Present(v, chunk)
			got := found(t, tier, v, chunk) // which compares the bytes
			if got&^present != 0 {
				t.Errorf("seed %d: %v: %05b are found, of %05b", seed, v, got, present)
			}
			kept += got.count()
		}
	}
	if err := tier.check(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	return kept
}

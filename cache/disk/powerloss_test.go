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
)

// TestPowerLoss: when the power goes at any step, what the disk had not been made to keep is lost, of the index, the files and the directories. Blocks are right or
// absent all the same, and the disk has no more than it may.
func TestPowerLoss(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 128*mib)); err != nil {
		t.Fatal(err)
	}
	makeExt4(t, image)
	kept := 0
	for seed := range uint64(24) {
		workUntilPowerLoss(t, image, seed, 1+7*int(seed))
		kept += checkAfterPowerLoss(t, image, seed)
	}
	if kept == 0 {
		t.Error("nothing was ever kept")
	}
}

// workUntilPowerLoss works on the cache in an image, and cuts the power at a step.
func workUntilPowerLoss(t *testing.T, image string, seed uint64, step int) {
	t.Helper()
	dir, unmount := mounted(t, image)
	defer unmount()
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
	tier, err := Open(Config{Dir: filepath.Join(dir, "c"), Size: crashLimit, MinFree: 1, Queue: 64 * mib, boot: fmt.Sprint(seed), crash: crash})
	if err != nil {
		if steps.Load() < int64(step) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		return // it went while it was opened
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	for steps.Load() < int64(step) {
		if err := workOnce(tier, rnd); err != nil && steps.Load() < int64(step) {
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

func checkAfterPowerLoss(t *testing.T, image string, seed uint64) (kept int) {
	t.Helper()
	dir, unmount := mounted(t, image)
	defer unmount()
	tier, err := Open(Config{Dir: filepath.Join(dir, "c"), Size: crashLimit, MinFree: 1, Queue: 64 * mib, boot: fmt.Sprint(seed, " again")})
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
		return used <= tier.catalog.sums().space && used <= crashLimit
	})
	for _, v := range crashVersions() {
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

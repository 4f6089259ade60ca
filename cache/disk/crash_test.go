package disk

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// crashVariable has this binary work on a cache directory and kill itself when it comes to a step for the nth time:
// "DIR,SEED,STEP,N".
const crashVariable = "HEADRACE_TEST_CRASH"

func TestMain(m *testing.M) {
	if how := strings.Split(os.Getenv(crashVariable), ","); len(how) == 4 {
		seed, _ := strconv.ParseUint(how[1], 10, 64)
		n, _ := strconv.Atoi(how[3])
		workUntilCrash(how[0], seed, how[2], n)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashLimit is small enough that what comes pushes out what is there.
const crashLimit = 9 * mib

// crashSteps are all that a crash may come after. Each must be come upon.
var crashSteps = []string{
	"before commit", "after commit", "before data", "file", "block", "after data", "remove", "punch", "leftover", "before adoption", "adopted", "undone", "recovered", "sweep",
}

// crashVersions are what the cache is worked on with: some of one chunk, some of two, of which the end is kept and the
// beginning.
func crashVersions() (versions []objstore.Version) {
	for i := range int64(4) {
		versions = append(versions, versionOf(fmt.Sprint("one", i), (i%3+1)*mib+77), versionOf(fmt.Sprint("two", i%2), ChunkSize+2*mib+77))
	}
	return versions
}

// workUntilCrash keeps, evicts, drops and adopts, and kills the process when it comes to a step for the nth time.
func workUntilCrash(dir string, seed uint64, step string, n int) {
	var times atomic.Int64
	rnd := rand.New(rand.NewPCG(seed, seed))
	var tier *Tier
	crash := func(name string) {
		if name == step && times.Add(1) == int64(n) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		switch name {
		case "before data":
			if rnd.IntN(4) == 0 {
				tier.space.minFree = 1 << 50 // others have filled the disk
			}
		case "after data":
			tier.space.minFree = 1
		}
	}
	var err error
	if tier, err = Open(Config{Dir: dir, Size: crashLimit + indexSetAside, MinFree: 1, Queue: 64 * mib, crash: crash}); err == nil {
		for range 60 {
			err = errors.Join(err, workOnce(tier, rnd))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = tier.Close()
}

// workOnce does something at random, and waits for it.
func workOnce(tier *Tier, rnd *rand.Rand) error {
	versions := crashVersions()
	v := versions[rnd.IntN(len(versions))]
	chunk := rnd.Int64N((v.Size + ChunkSize - 1) / ChunkSize)
	switch rnd.IntN(8) {
	case 0:
		return tier.order(func() error {
			_, err := tier.evictSome(1, math.MaxInt64)
			tier.commit(nil)
			return err
		})
	case 1: // a block turns out to be damaged
		h := hashVersion(v)
		return tier.order(func() error {
			r, ok, err := tier.catalog.version(h)
			if err != nil || !ok {
				return err
			}
			k := chunkKey{r.id, uint32(chunk)}
			c, _, err := tier.catalog.chunk(k)
			return errors.Join(err, tier.dropNow(k, c, c.present&-c.present))
		})
	case 2, 3:
		if v.Size > ChunkSize {
			return nil
		}
		return adoptOne(tier, v, contentOf(v, 0))
	}
	tier.Used(v, chunk)
	data := contentOf(v, chunk)
	defer freeBytes(data)
	blocks := allBlocks(len(data)) & Blocks(1+rnd.IntN(15))
	done := make(chan struct{})
	if blocks != 0 && tier.Offer(&Offer{Version: v, Chunk: chunk, Data: data, Blocks: blocks, Done: func() { close(done) }}) {
		<-done
	}
	if rnd.IntN(2) == 0 {
		return tier.order(func() error { tier.commit(nil); return nil })
	}
	return nil
}

// adoptOne has a file be taken over that somebody has written beside the cache.
func adoptOne(tier *Tier, v objstore.Version, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(tier.dir.path), "written-")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	tier.Adopt(v, f, 0)
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// TestCrashPoints: killed at every step, the first few times it comes to it, a cache has blocks that are right, and no
// more on disk than it may.
func TestCrashPoints(t *testing.T) {
	missing := map[string]bool{}
	for _, step := range crashSteps {
		missing[step] = true
	}
	for seed := range uint64(2) {
		dir := filepath.Join(t.TempDir(), "c")
		for _, step := range crashSteps {
			for n := 1; n <= 3; n++ {
				when := fmt.Sprintf("seed %d, %q for the %d. time", seed, step, n)
				if step == "undone" || step == "recovered" { // there must be something to recover from
					crashAt(t, dir, seed+uint64(n), "after data", n)
				}
				if step == "sweep" {
					crashAt(t, dir, seed, "after data", 9)
					if err := os.Remove(filepath.Join(dir, indexFile)); err != nil {
						t.Fatal(err)
					}
				}
				if crashAt(t, dir, seed, step, n) {
					delete(missing, step)
				}
				checkAfterCrash(t, dir, when)
			}
		}
	}
	for step := range missing {
		t.Errorf("there was no crash at %q", step)
	}
}

// crashAt works on a directory until it comes to a step for the nth time. false when it does not.
func crashAt(t *testing.T, dir string, seed uint64, step string, n int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%s,%d", crashVariable, dir, seed, step, n))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%q: %v: %s", step, err, out)
	}
	return true
}

func checkAfterCrash(t *testing.T, dir, when string) {
	t.Helper()
	tier, err := Open(Config{Dir: dir, Size: crashLimit + indexSetAside, MinFree: 1, Queue: 64 * mib})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	eventually(t, when+": swept", func() bool { return !tier.sweeping.Load() })
	if used, sums := diskUsage(t, dir), tier.catalog.sums(); used > sums.space || used > crashLimit {
		t.Errorf("%s: %d bytes on disk, %d in the index", when, used, sums.space)
	}
	for _, v := range crashVersions() {
		for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
			present := tier.Present(v, chunk)
			if got := found(t, tier, v, chunk); got != present {
				t.Errorf("%s: %v: %05b of %05b are right", when, v, got, present)
			}
		}
	}
	if err := tier.check(); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	if err := tier.Close(); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

// TestOldIndex: an index from before, as a disk that lost its last writes may have it, names blocks that are something
// else now. They are found out.
func TestOldIndex(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Size: 8 * mib}
	tier := openTier(t, cfg)
	for i := range 4 {
		keepAll(t, tier, versionOf(fmt.Sprint(i), 2*mib))
	}
	if err := tier.check(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(dir, indexFile), filepath.Join(dir, "..", "old"))
	if err := tier.order(func() error { _, err := tier.evictSome(2, math.MaxInt64); return err }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		keepAll(t, tier, versionOf(fmt.Sprint("new", i), mib+5))
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(dir, "..", "old"), filepath.Join(dir, indexFile))
	tier = openTier(t, cfg)
	right := 0
	for i := range 4 {
		if found(t, tier, versionOf(fmt.Sprint(i), 2*mib), 0) == 0b11 { // found compares the bytes
			right++
		}
	}
	if right != 2 {
		t.Errorf("%d of the 2 that were not evicted are there", right)
	}
	for i := range 3 { // under numbers that have been used before
		v := versionOf(fmt.Sprint("other", i), 2*mib+3)
		keepAll(t, tier, v)
		found(t, tier, v, 0)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

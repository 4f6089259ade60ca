package disk

import (
	"errors"
	"fmt"
	"io"
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

	"go.etcd.io/bbolt"
)

// crashVariable has this binary work on a cache directory and kill itself: "DIR SEED STEP".
const crashVariable = "HEADRACE_TEST_CRASH"

func TestMain(m *testing.M) {
	if how := strings.Fields(os.Getenv(crashVariable)); len(how) == 3 {
		seed, _ := strconv.ParseUint(how[1], 10, 64)
		step, _ := strconv.Atoi(how[2])
		workUntilCrash(how[0], seed, step)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashLimit is small enough that what comes pushes out what is there.
const crashLimit = 9 * mib

// crashSteps are all that a crash may come after. Each must be come upon.
var crashSteps = []string{
	"before commit", "after commit", "before data", "file", "block", "after data", "remove", "punch", "leftover", "before adoption", "adopted", "undone", "recovered",
}

// crashVersions are what the cache is worked on with: some of one chunk, some of two, of which the end is kept and the beginning.
func crashVersions() (versions []objstore.Version) {
	for i := range int64(4) {
		versions = append(versions, versionOf(fmt.Sprint("one", i), (i%3+1)*mib+77), versionOf(fmt.Sprint("two", i%2), ChunkSize+2*mib+77))
	}
	return versions
}

// workUntilCrash keeps, evicts, drops and adopts, and kills the process at a step, whose name it leaves.
func workUntilCrash(dir string, seed uint64, step int) {
	var steps atomic.Int64
	rnd := rand.New(rand.NewPCG(seed, seed))
	var tier *Tier
	crash := func(name string) {
		if steps.Add(1) == int64(step) {
			_ = os.WriteFile(dir+".step", []byte(name), 0o600)
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
	if tier, err = Open(Config{Dir: dir, Size: crashLimit, MinFree: 1, Queue: 64 * mib, crash: crash}); err == nil {
		for range 20 {
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
			_, err := tier.evictSome(1)
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

// TestCrashPoints: killed at every step, a cache has blocks that are right, and no more on disk than it may.
func TestCrashPoints(t *testing.T) {
	missing := map[string]bool{}
	for _, name := range crashSteps {
		missing[name] = true
	}
	for seed := range uint64(3) {
		dir := filepath.Join(t.TempDir(), "c")
		for step, crashed := 1, true; crashed; step += 1 + 2*int(seed) {
			var name, again string
			name, crashed = crashAt(t, dir, seed, step)
			delete(missing, name)
			if crashed && seed%2 == 1 { // and in recovering from that
				again, _ = crashAt(t, dir, seed, 1+step%3)
				delete(missing, again)
			}
			checkAfterCrash(t, dir, fmt.Sprintf("seed %d step %d, %s %s", seed, step, name, again))
		}
	}
	for name := range missing {
		t.Errorf("there was no crash at %q", name)
	}
}

// crashAt works on a directory until a step, and tells which one that was: crashed is false when it came to none.
func crashAt(t *testing.T, dir string, seed uint64, step int) (name string, crashed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", crashVariable, dir, seed, step))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("step %d: %v: %s", step, err, out)
	}
	b, err := os.ReadFile(dir + ".step")
	if err != nil {
		t.Fatal(err)
	}
	return string(b), true
}

func checkAfterCrash(t *testing.T, dir, when string) {
	t.Helper()
	tier, err := Open(Config{Dir: dir, Size: crashLimit, MinFree: 1, Queue: 64 * mib})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
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

// check commits, and counts everything again.
func (t *Tier) check() error {
	return t.order(func() error {
		if !t.commit(nil) {
			return nil // the disk does not work
		}
		counted := totals{nextID: t.catalog.totals.nextID, limit: t.catalog.totals.limit, hand: t.catalog.totals.hand}
		chunks := map[uint64]uint32{}
		present, stored := map[uint64]int64{}, map[uint64]int64{}
		return t.catalog.index.view(func(tx *bbolt.Tx) error {
			err := tx.Bucket(chunksBucket).ForEach(func(b, value []byte) error {
				k, _ := parseChunkKey(b)
				r, ok := parseChunkRecord(value)
				h := tx.Bucket(idsBucket).Get(idBytes(k.id))
				v, has := parseVersionRecord(tx.Bucket(versionsBucket).Get(h))
				if !ok || !has || v.id != k.id {
					return fmt.Errorf("chunk %v has no version: %v %v", k, ok, has)
				}
				bytes, space := weigh(chunkLength(v.version.Size, k.index), r.present)
				counted.chunks++
				counted.space += space
				chunks[k.id]++
				present[k.id] += bytes
				stored[k.id] += space
				return nil
			})
			if err != nil {
				return err
			}
			err = tx.Bucket(versionsBucket).ForEach(func(h, value []byte) error {
				v, ok := parseVersionRecord(value)
				if !ok || v.chunks != chunks[v.id] || v.present != present[v.id] || v.stored != stored[v.id] || v.chunks == 0 {
					return fmt.Errorf("version %+v: %v, counted %d %d %d", v, ok, chunks[v.id], present[v.id], stored[v.id])
				}
				if hashVersion(v.version) != versionHash(h) || v.id >= counted.nextID {
					return fmt.Errorf("version %+v is in the wrong place", v)
				}
				counted.versions++
				return nil
			})
			if err == nil && counted != t.catalog.totals {
				err = fmt.Errorf("counted %+v, have %+v", counted, t.catalog.totals)
			}
			return err
		})
	})
}

// TestOldIndex: an index from before, as a disk that lost its last writes may have it, names blocks that are something else now. They
// are found out.
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
	if err := tier.order(func() error { _, err := tier.evictSome(2); return err }); err != nil {
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

package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// TestLimitHasTheIndex: the index of many small objects with long keys, which is nearly as large as they are, is within
// the limit as well.
func TestLimitHasTheIndex(t *testing.T) {
	dir := t.TempDir()
	const limit = 12 * mib
	most := int64(0)
	look := func(string) { // on the writer's goroutine, so that nothing moves meanwhile
		st, err := os.Stat(filepath.Join(dir, indexFile))
		if err != nil {
			t.Error(err)
			return
		}
		most = max(most, takes(st)+diskUsage(t, dir))
	}
	tier, err := Open(Config{Dir: dir, Size: limit, MinFree: 1, Queue: 64 * mib})
	if err != nil {
		t.Fatal(err)
	}
	data := alignedBytes(10)
	defer freeBytes(data)
	for batch := range 8 {
		var kept sync.WaitGroup
		for i := range 500 {
			v := versionOf(fmt.Sprint(strings.Repeat("k", 900), batch, "-", i), int64(len(data)))
			kept.Add(1)
			if !tier.Offer(&Offer{Version: v, Data: data, Blocks: 1, Done: kept.Done}) {
				kept.Done()
			}
		}
		kept.Wait()
		if err := tier.order(func() error { tier.commit(nil); look(""); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	s := tier.Stats()
	if most > limit || s.Used+s.Index < limit/3 || s.Rejected == 0 {
		t.Errorf("%d bytes on disk at most, of %d: %+v", most, limit, s)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestIndexIsMadeSmaller: an index of which most is left over is made anew at the next start, and says what it said.
func TestIndexIsMadeSmaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), indexFile)
	if err := os.WriteFile(path+".new", []byte("a process was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, sums, _, err := openIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	key := func(i int) []byte { return chunkKey{uint64(i), 0}.bytes() }
	const most, stay = 8000, 1000
	value := make([]byte, 3000)
	err = x.update(func(tx *bbolt.Tx) error {
		for i := range most {
			if err := tx.Bucket(chunksBucket).Put(key(i), value); err != nil {
				return err
			}
		}
		sums.limit = 77
		return tx.Bucket(totalsBucket).Put(totalsKey, sums.bytes())
	})
	if err != nil {
		t.Fatal(err)
	}
	before := x.space.Load()
	err = x.update(func(tx *bbolt.Tx) error {
		for i := stay; i < most; i++ {
			if err := tx.Bucket(chunksBucket).Delete(key(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // once is enough
		if err := x.close(); err != nil {
			t.Fatal(err)
		}
		var fresh bool
		if x, sums, fresh, err = openIndex(path); err != nil || fresh || sums.limit != 77 {
			t.Fatalf("%+v, %v, %v", sums, fresh, err)
		}
		if err := x.makeSmaller(path); err != nil {
			t.Fatal(err)
		}
		if got := x.space.Load(); got > before/4 {
			t.Errorf("it has %d bytes, and had %d", got, before)
		}
		n := 0
		if err := x.view(func(tx *bbolt.Tx) error { n = tx.Bucket(chunksBucket).Stats().KeyN; return nil }); err != nil || n != stay {
			t.Errorf("%d entries, %v", n, err)
		}
	}
	if err := x.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) {
		t.Error("the unfinished one is still there")
	}
}

// TestTrashCounts: what a lost index leaves to be removed is within the limit until it is gone, and no reason to have a
// smaller limit.
func TestTrashCounts(t *testing.T) {
	dir := filepath.Join(onDisk(t, 256*mib), "c")
	tier, err := Open(Config{Dir: dir, MinFree: 1, Queue: 64 * mib})
	if err != nil {
		t.Fatal(err)
	}
	limit := tier.Stats().Limit
	for i := range 8 {
		keepAll(t, tier, versionOf(fmt.Sprint("lost", i), ChunkSize))
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, indexFile)); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	tier, err = Open(Config{Dir: dir, MinFree: 1, Queue: 64 * mib, crash: func(step string) {
		if step == "sweep" {
			<-goOn
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := tier.Stats().Limit; got < limit/10*9 || got > limit {
		t.Errorf("the limit is %d, and was %d", got, limit)
	}
	for i := range 8 {
		keepAll(t, tier, versionOf(fmt.Sprint("new", i), ChunkSize))
	}
	if used := diskUsage(t, dir); used > limit {
		t.Errorf("%d bytes on disk, of %d", used, limit)
	}
	close(goOn)
	eventually(t, "swept", func() bool { return !tier.sweeping.Load() })
	if left, err := os.ReadDir(filepath.Join(dir, trashDirectory)); err != nil || len(left) > 0 {
		t.Errorf("left in the trash: %v, %v", left, err)
	}
	for i := range 8 {
		keepAll(t, tier, versionOf(fmt.Sprint("new", i), ChunkSize))
	}
	if got := tier.Stats().Versions; got != 8 {
		t.Errorf("%d versions are kept once there is room", got)
	}
}

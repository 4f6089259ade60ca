package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// fillDisk has others fill a disk until so much is free.
func fillDisk(t *testing.T, dir string, free int64) {
	t.Helper()
	fs, err := statfs(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "other"), make([]byte, fs.free-free), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestFloorOfSeveralWriters: those who write at the same time have seen the same free space, and do not take it twice.
func TestFloorOfSeveralWriters(t *testing.T) {
	const floor = 20 * mib
	dir := onDisk(t, 256*mib)
	var together sync.WaitGroup
	together.Add(writers)
	steps := func(step string) {
		switch step {
		case "before data": // others leave room for one chunk
			fillDisk(t, dir, floor+indexReserve+ChunkSize+mib)
		case "file": // each is about to look
			together.Done()
			together.Wait()
		}
	}
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), MinFree: floor, crash: steps})
	var offers []*Offer
	for i := range writers {
		offers = append(offers, offerOf(t, versionOf(fmt.Sprint(i), ChunkSize), 0))
	}
	offerAtOnce(t, tier, offers...)
	if fs, err := statfs(dir); err != nil || fs.free < floor {
		t.Errorf("%d MiB are free: %v", fs.free/mib, err)
	}
	if s := tier.Stats(); s.Used != ChunkSize || s.BytesSkipped != (writers-1)*ChunkSize {
		t.Errorf("%+v", s)
	}
}

// TestUnderWay: what is under way counts until it has ended, and who finds too little for its sake waits for it.
func TestUnderWay(t *testing.T) {
	w := newUnderWay()
	room := func(n int64) func() int64 { return func() int64 { return n } }
	if w.begin(11, room(10)) || !w.begin(6, room(10)) || !w.begin(4, room(10)) {
		t.Fatal("room for one is not what it is")
	}
	for _, end := range []int64{6, 4} { // the one that came last may be on the disk already, and its room gone
		began := make(chan bool)
		asked := make(chan struct{}, 2)
		go func() { began <- w.begin(5, func() int64 { asked <- struct{}{}; return 9 }) }()
		<-asked
		w.end(end)
		if !<-began {
			t.Errorf("it did not begin when %d had ended", end)
		}
		w.end(5)
		if end == 6 && !w.begin(0, room(10)) {
			t.Error("nothing does not fit")
		}
	}
	if w.bytes != 0 {
		t.Errorf("%d bytes are under way", w.bytes)
	}
}

// inOrder runs what the writer is to run, and reports its error.
func inOrder(t *testing.T, tier *Tier, do func() error) {
	t.Helper()
	if err := tier.order(do); err != nil {
		t.Fatal(err)
	}
}

// TestNothingEvictedForNothing: what others have filled is not made up for by a file to be adopted, nor by an offer.
func TestNothingEvictedForNothing(t *testing.T) {
	const floor = 20 * mib
	dir := onDisk(t, 128*mib)
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), MinFree: floor})
	for i := range 15 {
		keepAll(t, tier, versionOf(fmt.Sprint(i), 2*mib))
	}
	for range 5 {
		tier.Used(versionOf("wanted", 2*mib), 0)
	}
	chunk := hashOf(hashVersion(versionOf("wanted", 2*mib)), 0)
	inOrder(t, tier, func() error { // shrink does not come between
		fillDisk(t, dir, 3*mib)
		fs, err := statfs(dir)
		if ok, failed := tier.makeRoom(8 * mib); ok || failed != nil || tier.evictedSpace != 0 {
			t.Errorf("adoption evicts %d MiB: %v %v", tier.evictedSpace/mib, ok, failed)
		}
		fs.free -= 2 * batchBytes
		if ok, failed := tier.admit(newcomer{chunk: chunk}, 2*mib, 0, fs); ok || failed != nil || tier.evictedSpace != 0 {
			t.Errorf("an offer evicts %d MiB: %v %v", tier.evictedSpace/mib, ok, failed)
		}
		if err := errors.Join(err, os.Remove(filepath.Join(dir, "other"))); err != nil { // here: shrink follows on this
			return err
		}
		fillDisk(t, dir, floor+indexReserve-3*mib)
		if ok, failed := tier.makeRoom(8 * mib); !ok || failed != nil || tier.evictedSpace != 4*mib {
			t.Errorf("for 3 MiB that are missing %d MiB are evicted: %v %v", tier.evictedSpace/mib, ok, failed)
		}
		return nil
	})
}

// TestShrinkInProportion: no more goes than the disk is short of, and no more while that does not give it any room.
func TestShrinkInProportion(t *testing.T) {
	const floor, short = 20 * mib, 7 * mib
	dir := onDisk(t, 256*mib)
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), MinFree: floor})
	for i := range 40 {
		keepAll(t, tier, versionOf(fmt.Sprint(i), 2*mib))
	}
	inOrder(t, tier, func() error {
		fillDisk(t, dir, floor+indexReserve-short)
		tier.shrink()
		if n := tier.stats.evicted.Load(); n != 4 {
			t.Errorf("%d chunks of 2 MiB went for %d MiB", n, short/mib)
		}
		return nil
	})
	files, err := filepath.Glob(filepath.Join(tier.dir.path, dataDirectory, "*", "*"))
	if err != nil || len(files) != 36 {
		t.Fatal(files, err)
	}
	for i, name := range files { // as a snapshot has them
		if err := os.Link(name, filepath.Join(dir, fmt.Sprint("link", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "others")); err != nil {
		t.Fatal(err)
	}
	inOrder(t, tier, func() error {
		fillDisk(t, dir, floor+indexReserve-short)
		for range 10 {
			tier.shrink()
		}
		if n := tier.stats.evicted.Load(); n != 8 {
			t.Errorf("%d chunks went although that does not help", n-4)
		}
		return nil
	})
}

// TestSpaceAtRest: who looks at a directory sees the limits of its last owner.
func TestSpaceAtRest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tier := openTier(t, Config{Dir: dir, Size: 77 * mib, MinFree: 33 * mib})
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // looking changes nothing
		tier, err := OpenExisting(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if s := tier.Stats(); s.Limit != 77*mib+indexSetAside || s.MinFree != 33*mib {
			t.Errorf("limit %d MiB, free %d MiB", s.Limit/mib, s.MinFree/mib)
		}
		if err := tier.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoHoles: a file system that gives nothing back but whole files is refused, for no limit could be kept there.
func TestNoHoles(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	if _, err := Open(Config{Dir: filepath.Join(dir, "cache")}); !errors.Is(err, ErrNoHoles) {
		t.Errorf("ramfs: %v", err)
	}
}

package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// TestAdopt: a file that was written is the version's from then on, whole, checked, and after a restart; its writer's
// name for it may go.
func TestAdopt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tier := openTier(t, Config{Dir: dir})
	v := versionOf("written", 2*ChunkSize+3*mib+5)
	path := filepath.Join(t.TempDir(), "file")
	f := writeVersion(t, path, v)
	if !tier.Adopt(v, f, 7) {
		t.Fatal("it was not adopted")
	}
	if tier.Adopt(v, f, 7) {
		t.Error("it was adopted twice")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	lease := tier.Lease(v)
	if lease == nil {
		t.Fatal("it has to be read before it is leased")
	}
	lease.Release()
	if !tier.Admits(v, 7) {
		t.Error("who has stored it may not read it")
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, Config{Dir: dir})
	for chunk := range int64(3) {
		want := tier.Present(v, chunk)
		if got := found(t, tier, v, chunk); got != want || want != allBlocks(chunkLength(v.Size, uint32(chunk))) {
			t.Errorf("chunk %d: %016b are right, of %016b", chunk, got, want)
		}
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// TestAdoptRefused: what is too large, of another length or on another disk is left alone, and not even read.
func TestAdoptRefused(t *testing.T) {
	tier := openTier(t, Config{Dir: filepath.Join(t.TempDir(), "c"), Size: 64 * mib})
	large, short, far := versionOf("large", 40*mib), versionOf("short", 3*mib), versionOf("far", 3*mib)
	unreadable := func(path string, v objstore.Version) *os.File { // it would be an error that is counted
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			err = f.Truncate(v.Size)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	if tier.Adopt(large, unreadable(filepath.Join(t.TempDir(), "file"), large), 0) {
		t.Error("more than half of the cache was adopted")
	}
	if tier.Adopt(versionOf("short", 4*mib), writeVersion(t, filepath.Join(t.TempDir(), "file"), short), 0) {
		t.Error("a file that is too short was adopted")
	}
	elsewhere := filepath.Join("/dev/shm", filepath.Base(t.TempDir())+"-headrace")
	t.Cleanup(func() { os.Remove(elsewhere) })
	if tier.Adopt(far, unreadable(elsewhere, far), 0) {
		t.Error("a file of another file system was adopted")
	}
	if s := tier.Stats(); s.Adopted != 0 || s.Errors != 0 || s.Versions != 0 {
		t.Errorf("stats are %+v", s)
	}
}

// TestAdoptMakesRoom: what was just written pushes out what is there, and no more than the limit is ever used.
func TestAdoptMakesRoom(t *testing.T) {
	tier := openTier(t, Config{Dir: filepath.Join(t.TempDir(), "c"), Size: 20 * mib})
	for i := range 6 {
		v := versionOf(string(rune('a'+i)), 6*mib)
		if !tier.Adopt(v, writeVersion(t, filepath.Join(t.TempDir(), "file"), v), 0) {
			t.Fatalf("version %d was not adopted", i)
		}
		if s := tier.Stats(); s.Used > 20*mib {
			t.Fatalf("%d bytes are used", s.Used)
		}
		if found(t, tier, v, 0) != allBlocks(6*mib) {
			t.Errorf("version %d is not there", i)
		}
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// writeVersion makes a file with all of a version.
func writeVersion(t *testing.T, path string, v objstore.Version) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		data := contentOf(v, chunk)
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		freeBytes(data)
	}
	return f
}

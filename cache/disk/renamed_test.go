package disk

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// TestRenamed: what is here of a version is another's, without a copy, also after a restart; its pin goes along, a
// lease lasts, and only who renamed it is known to be allowed to read it.
func TestRenamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tier := openTier(t, Config{Dir: dir})
	from := versionOf("old", ChunkSize+2*mib+5)
	to := from
	to.Key, to.ETag = "new", "another"
	if !tier.Adopt(from, writeVersion(t, filepath.Join(t.TempDir(), "file"), from), 7) {
		t.Fatal("it was not adopted")
	}
	if err := tier.Pin(from, true); err != nil {
		t.Fatal(err)
	}
	if err := tier.order(func() error { tier.commit(nil); return nil }); err != nil {
		t.Fatal(err)
	}
	lease := tier.Lease(from)
	if lease == nil {
		t.Fatal("no lease")
	}
	defer lease.Release()
	before := tier.Stats()
	if !tier.Renamed(from, to, 8) {
		t.Fatal("it was not renamed")
	}
	if n := tier.Cached(from); n != 0 {
		t.Errorf("%d bytes are under the old key", n)
	}
	if tier.Admits(to, 7) || !tier.Admits(to, 8) {
		t.Error("the new key is readable for who might read the old one, or not for who made it")
	}
	if after := tier.Stats(); after.Used != before.Used || after.Versions != before.Versions {
		t.Errorf("%d bytes of %d versions became %d of %d", before.Used, before.Versions, after.Used, after.Versions)
	}
	if n, err := tier.Evict(to); err != nil || n != 0 {
		t.Errorf("%d bytes that are leased were evicted, %v", n, err)
	}
	if _, err := lease.File().Stat(); err != nil {
		t.Error(err)
	}
	wantContent(t, tier, from, to)
	if err := tier.check(); err != nil {
		t.Error(err)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, Config{Dir: dir})
	wantContent(t, tier, from, to)
	if n := tier.Cached(from); n != 0 {
		t.Errorf("%d bytes are under the old key after a restart", n)
	}
	for e := range tier.Entries() {
		if e.Version != to || !e.Pinned {
			t.Errorf("the restart shows %+v", e)
		}
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// TestRenamedRefused: nothing is renamed that is not here, that has another length, or over what is here.
func TestRenamedRefused(t *testing.T) {
	tier := openTier(t, Config{Dir: filepath.Join(t.TempDir(), "c")})
	here, taken := versionOf("here", 4096), versionOf("taken", 4096)
	for _, v := range []objstore.Version{here, taken} {
		if !tier.Adopt(v, writeVersion(t, filepath.Join(t.TempDir(), "file"), v), 0) {
			t.Fatal("it was not adopted")
		}
	}
	for name, to := range map[string]objstore.Version{"itself": here, "over another": taken, "longer": versionOf("new", 4097)} {
		if tier.Renamed(here, to, 0) {
			t.Errorf("%s: it was renamed", name)
		}
	}
	if tier.Renamed(versionOf("nothing", 4096), versionOf("new", 4096), 0) {
		t.Error("nothing was renamed")
	}
	wantContent(t, tier, here, here)
	wantContent(t, tier, taken, taken)
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// wantContent reads all of a version, which has the bytes of another.
func wantContent(t *testing.T, tier *Tier, of, v objstore.Version) {
	t.Helper()
	for chunk := int64(0); chunk*ChunkSize < v.Size; chunk++ {
		hold := tier.Hold(v, chunk)
		if hold == nil {
			t.Fatalf("chunk %d is not here", chunk)
		}
		want := contentOf(of, chunk)
		block := make([]byte, BlockSize)
		for off := 0; off < len(want); off += BlockSize {
			b := block[:min(BlockSize, len(want)-off)]
			if !hold.Read(b, off) || !bytes.Equal(b, want[off:off+len(b)]) {
				t.Errorf("chunk %d is not right at %d", chunk, off)
			}
		}
		freeBytes(want)
		hold.Release()
	}
}

// A disk that hangs does not hang who renames: what is cached is left behind.
func TestRenamedWhileTheDiskHangs(t *testing.T) {
	tier := openTier(t, Config{Dir: filepath.Join(t.TempDir(), "c")})
	from := versionOf("old", 4*mib)
	to := from
	to.Key = "new"
	if !tier.Adopt(from, writeVersion(t, filepath.Join(t.TempDir(), "file"), from), 7) {
		t.Fatal("it was not adopted")
	}
	hangs, goOn := make(chan struct{}), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		_ = tier.order(func() error {
			close(hangs)
			<-goOn
			return nil
		})
	})
	<-hangs
	if tier.Renamed(from, to, 7) {
		t.Error("it was renamed by a writer that hangs")
	}
	close(goOn)
	writer.Wait()
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

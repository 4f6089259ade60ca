package integration

import (
	"os"
	"testing"
	"time"
)

// stat and readdir may be as old as `--metadata-ttl`, and so may "not found".
func TestAgeOfNames(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/changed", "1")
	b.putText("dir/removed", "1")
	p := newProxy(t, b.server.Endpoint())
	patient := mountThrough(t, b, p, "--metadata-ttl", "10m")
	ordinary := mountBucket(t, b)
	for _, m := range []*mount{patient, ordinary} {
		checkNames(t, m.names("dir"), "changed", "removed")
		checkSize(t, m.path("dir", "changed"), 1)
		checkMissing(t, m.path("dir", "added"))
	}
	p.take(t)

	b.putText("dir/changed", "12")
	b.putText("dir/added", "123")
	b.remove("dir/removed")
	// Within the TTL all is as it was seen, and nothing is asked for.
	checkNames(t, patient.names("dir"), "changed", "removed")
	checkSize(t, patient.path("dir", "changed"), 1)
	checkMissing(t, patient.path("dir", "added"))
	if requests := p.take(t); len(requests) > 0 {
		t.Errorf("names known within the TTL cost %q", requests)
	}
	// After it, all is new.
	eventually(t, patience, "the mount with the default TTL to see the change", func() bool {
		info, err := os.Stat(ordinary.path("dir", "changed"))
		_, missing := os.Stat(ordinary.path("dir", "removed"))
		_, added := os.Stat(ordinary.path("dir", "added"))
		return err == nil && info.Size() == 2 && os.IsNotExist(missing) && added == nil
	})
	eventually(t, patience, "the listing to be new", func() bool {
		names := ordinary.names("dir")
		return len(names) == 2 && names[0] != "removed" && names[1] != "removed"
	})
}

// With `--immutable`, a name, a listing or a version once seen is never asked for again; "not found" still follows
// `--metadata-ttl`.
func TestImmutable(t *testing.T) {
	t.Parallel()
	const ttl = 300 * time.Millisecond
	b := newBucket(t)
	b.putText("listed/file", "1")
	b.putText("single/file", "1")
	large := b.put("large", 1, 2*chunk+1)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--immutable", "--metadata-ttl", ttl.String())
	look := func() {
		checkNames(t, m.names("listed"), "file")
		m.read("listed", "file")
		m.read("single", "file")
		if got, err := hashFile("read", m.path("large")); err != nil || got != large.sha256() {
			t.Errorf("large: %s, %v", got, err)
		}
	}
	look()
	p.take(t)
	// "Not found" is asked for again once the TTL is over, which also says that it is over for the rest.
	for range 3 {
		checkMissing(t, m.path("listed-not"))
		p.take(t)
		eventually(t, patience, `"not found" to be asked for again`, func() bool {
			checkMissing(t, m.path("listed-not"))
			return p.count("HEAD") > 0
		})
	}
	p.take(t)
	look()
	if requests := p.take(t); len(requests) > 0 {
		t.Errorf("what was seen before cost %q", requests)
	}
	b.putText("listed-not", "now it is")
	eventually(t, patience, "the new name to be found", func() bool {
		_, err := os.Stat(m.path("listed-not"))
		return err == nil
	})
}

func checkSize(t *testing.T, path string, want int64) {
	t.Helper()
	if got := must[os.FileInfo](t)(os.Stat(path)).Size(); got != want {
		t.Errorf("%s has %d bytes, should have %d", path, got, want)
	}
}

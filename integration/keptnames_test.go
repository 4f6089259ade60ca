package integration

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// listings are the LIST requests, and the HEADs, among requests: what is asked because of names.
func listings(requests []string) []string {
	return slices.DeleteFunc(requests, func(r string) bool { return !strings.HasPrefix(r, "LIST ") && !strings.HasPrefix(r, "HEAD ") })
}

// sizes are the names of a directory with the sizes that `ls -l` shows.
func (m *mount) sizes(dir string) map[string]int64 {
	m.t.Helper()
	all := make(map[string]int64)
	entries, err := os.ReadDir(m.path(dir))
	for _, e := range entries {
		info, failed := e.Info()
		if failed != nil {
			m.t.Fatal(failed)
		}
		all[e.Name()] = info.Size()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// awaitNamesKept waits until n listings are on the disk.
func (m *mount) awaitNamesKept(n int) {
	m.t.Helper()
	const kept = "headrace_names_disk_kept_total"
	eventually(m.t, patience, fmt.Sprint(n, " listings to be kept"), func() bool { return m.counters(kept)[kept] >= float64(n) })
}

// What a mount has listed the next one on the node lists without asking the store, also where the first was killed,
// with each file's size; what was written, removed or renamed in between is as it is now; and what is older than
// --metadata-ttl is asked for.
func TestNamesAreKept(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	want := make(map[string]int64)
	for i := range 300 {
		name := fmt.Sprintf("file-%03d", i)
		b.put("many/"+name, pattern(i), int64(i))
		want[name] = int64(i)
	}
	b.put("few/x", 1, 5)
	b.put("still/x", 1, 5)
	cache := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, cache, "--metadata-ttl", "1h")
	m.sizes(".")
	m.same("many", want)
	m.same("few", map[string]int64{"x": 5})
	m.same("still", map[string]int64{"x": 5})
	m.awaitNamesKept(4)
	m.finish(syscall.SIGKILL)

	m = cachedMount(t, b, p, cache, "--metadata-ttl", "1h")
	p.take(t)
	m.same("many", want)
	if info, err := os.Stat(m.path("few", "x")); err != nil || info.Size() != 5 {
		t.Errorf("%v, %v", info, err)
	}
	m.same("few", map[string]int64{"x": 5})
	if got := listings(p.take(t)); len(got) > 0 {
		t.Errorf("asked the store for %q", got)
	}
	const hits = "headrace_names_disk_hits_total"
	if m.counters(hits)[hits] < 2 {
		t.Errorf("%v", m.counters(hits))
	}
	m.write("new", "many", "file-new")
	want["file-new"] = 3
	m.write("longer", "many", "file-000")
	want["file-000"] = 6
	if err := os.Remove(m.path("many", "file-001")); err != nil {
		t.Fatal(err)
	}
	delete(want, "file-001")
	if err := os.Rename(m.path("many", "file-002"), m.path("few", "moved")); err != nil {
		t.Fatal(err)
	}
	delete(want, "file-002")
	m.finish(syscall.SIGKILL)

	m = cachedMount(t, b, p, cache, "--metadata-ttl", "1h")
	m.same("many", want)
	m.same("few", map[string]int64{"x": 5, "moved": 2})
	if out := cacheOutput(t, "status", cache); !strings.Contains(out, "by the names of ") || strings.Contains(out, "by the names of 0 ") {
		t.Errorf("status: %s", out)
	}
	m.finish(syscall.SIGTERM)

	b.put("still/late", 1, 7) // by somebody else
	m = cachedMount(t, b, p, cache, "--immutable")
	m.same("still", map[string]int64{"x": 5})
	m.finish(syscall.SIGTERM)
	m = cachedMount(t, b, p, cache, "--metadata-ttl", "5s")
	eventually(t, patience, "what is too old to be asked for", func() bool { return len(m.sizes("still")) == 2 })
	m.finish(syscall.SIGTERM)

	cacheOutput(t, "purge", cache)
	if out := cacheOutput(t, "status", cache); !strings.Contains(out, "by the names of 0 directories") {
		t.Errorf("purged, and still there: %s", out)
	}
}

// What `headrace uploads` stores for a mount that is dead the next mount sees, also where names are believed without
// end.
func TestNamesOfWhatIsStoredLater(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	for _, dir := range []string{"retried", "recovered", "still"} {
		b.put(dir+"/x", 1, 5)
	}
	s, cache := newStaged(t, b), filepath.Join(t.TempDir(), "cache")
	again := func() *mount {
		return startMount(t, mountSpec{
			source: b.source(), endpoint: s.endpoint, cacheDir: cache, provoked: slog.LevelError,
			flags: []string{"--staging-dir", s.dir, "--cache-dir", cache, "--immutable"},
		})
	}
	m := again()
	for _, dir := range []string{"retried", "recovered", "still"} {
		m.sizes(dir)
	}
	m.awaitNamesKept(3)
	if _, err := m.openFile(os.O_CREATE|os.O_WRONLY, "retried", "y").WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.openFile(os.O_CREATE|os.O_WRONLY, "still", "z").WriteString("newer"); err != nil {
		t.Fatal(err)
	}
	m.finish(syscall.SIGKILL)
	for _, one := range s.list() {
		if one.Key == "retried/y" {
			s.do("retry", one.ID)
		} else {
			s.do("recover", one.ID, "--to", b.source()+"/recovered/z")
		}
	}
	b.put("still/late", 1, 7) // by somebody else
	m = again()
	m.same("retried", map[string]int64{"x": 5, "y": 3})
	m.same("recovered", map[string]int64{"x": 5, "z": 5})
	m.same("still", map[string]int64{"x": 5})
}

// same compares what a directory shows.
func (m *mount) same(dir string, want map[string]int64) {
	m.t.Helper()
	if got := m.sizes(dir); fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Errorf("%s has %v, want %v", dir, got, want)
	}
}

// Names that are good for a moment only are not kept, and neither are they with a policy that keeps less; what a mount
// changes there is noted for those that keep them.
func TestNamesAreNotKept(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("d/x", 1, 5)
	p := newProxy(t, b.server.Endpoint())
	cache := filepath.Join(t.TempDir(), "cache")
	kept := func() int {
		files, err := filepath.Glob(filepath.Join(cache, "names", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for _, flags := range [][]string{nil, {"--immutable", "--cache-policy", "small"}, {"--metadata-ttl", "1h", "--cache-policy", "none"}} {
		m := cachedMount(t, b, p, cache, flags...)
		m.sizes("d")
		m.finish(syscall.SIGTERM)
		if n := kept(); n != 0 {
			t.Errorf("%q: %d listings are kept", flags, n)
		}
	}
	m := cachedMount(t, b, p, cache, "--immutable")
	m.sizes("d")
	m.awaitNamesKept(1)
	m.finish(syscall.SIGTERM)
	m = cachedMount(t, b, p, cache) // keeps none
	m.write("new", "d", "y")
	m.finish(syscall.SIGKILL)
	m = cachedMount(t, b, p, cache, "--immutable")
	m.same("d", map[string]int64{"x": 5, "y": 3})
}

// cacheOutput is what `headrace cache` prints.
func cacheOutput(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(must[string](t)(shared.raced()), append([]string{"cache"}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("cache %q: %v: %s", args, err, out)
	}
	return string(out)
}

package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// `headrace warm` reads files, directories, patterns and lists into the cache, reads nothing twice, and tells what it
// could not read.
func TestWarm(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	for i := range 6 {
		b.put(fmt.Sprint("set/", i), pattern(i), mib+int64(i))
	}
	b.put("other/x.bin", 9, 3*mib)
	b.put("other/y.txt", 10, 5)
	m := cachedMount(t, b, p, filepath.Join(t.TempDir(), "cache"))
	binary := must[string](t)(shared.raced())
	warm := func(code int, stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"warm"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("warm %q: exit code %d, should be %d: %s", args, got, code, out)
		}
		return string(out)
	}
	if got := warm(0, "", "--dry-run", m.path("set")); !strings.Contains(got, "would read 6 files, 6.0 MiB; 0 are in the cache") {
		t.Errorf("dry run: %s", got)
	}
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("a dry run asked for %q", got)
	}
	if got := warm(0, "", m.path("set")); !strings.Contains(got, "read 6 files, 6.0 MiB; 0 were in the cache") {
		t.Errorf("warm: %s", got)
	}
	if got := downloads(p.take(t)); len(got) != 6 {
		t.Errorf("asked for %q", got)
	}
	if got := warm(0, "", m.path("set"), m.path("other", "*.bin")); !strings.Contains(got, "read 1 files, 3.0 MiB; 6 were in the cache") {
		t.Errorf("again, and a pattern: %s", got)
	}
	list := m.path("other", "y.txt") + "\n" + m.path("other", "missing") + "\n"
	if got := warm(10, list, "-"); !strings.Contains(got, "read 1 files, 5 B") || !strings.Contains(got, "missing") {
		t.Errorf("a list: %s", got)
	}
	if got := warm(10, "", "/etc/hostname"); !strings.Contains(got, "not on a mount of headrace") {
		t.Errorf("elsewhere: %s", got)
	}
	if got := warm(2, ""); !strings.Contains(got, "files or directories") {
		t.Errorf("no path: %s", got)
	}
	m.awaitWritten(9 * mib)
	p.take(t)

	// It ends at once when it is told to.
	b.put("slow", 11, 8*chunk)
	p.inject(&fault{act: stall(chunk)})
	m.provoked = 8 // the stall is logged
	slow := start(t, exec.Command(binary, "warm", m.path("slow")))
	eventually(t, patience, "the store to be asked", func() bool { return p.count("GET") > 0 })
	slow.cmd.Process.Signal(syscall.SIGINT)
	slow.await(patience)
	if code := slow.cmd.ProcessState.ExitCode(); code != 10 || !strings.Contains(slow.stderr.String(), "interrupted") {
		t.Errorf("interrupted: exit code %d, %s", code, slow.stderr.String())
	}
	p.heal()
}

// What `headrace warm` has read is on the disk when it ends, also where the network is faster than the disk and memory
// is short; what could not be kept is a failure of its file.
func TestWarmKeepsWhatItReads(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	want := map[string]string{}
	for i := range 4 {
		name := fmt.Sprint("set/", i)
		want[name] = b.put(name, pattern(i), 2*chunk+int64(i)).sha256()
	}
	dir := filepath.Join(t.TempDir(), "cache")
	warm := func(m *mount) (int, string) { return headrace(t, "warm", m.path("set")) }
	m := cachedMount(t, b, p, dir)
	if code, said := warm(m); code != 0 {
		t.Errorf("warm: %d, %s", code, said)
	}
	m.finish(syscall.SIGTERM)
	p.take(t)
	m = cachedMount(t, b, p, dir)
	for name, sum := range want {
		if got, err := hashFile("read", m.path(name)); err != nil || got != sum {
			t.Errorf("%s reads as %s, %v", name, got, err)
		}
	}
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("what was warmed was asked for again: %q", got)
	}
	m.finish(syscall.SIGTERM)

	m = cachedMount(t, b, p, filepath.Join(t.TempDir(), "small"), "--cache-size", "64MiB")
	if code, said := warm(m); code != 10 || !strings.Contains(said, "are not kept") {
		t.Errorf("warm into a cache that is too small: %d, %s", code, said)
	}
	b.put("next", 9, 2*chunk) // has a place in a cache that is full
	if code, said := headrace(t, "warm", m.path("next")); code != 0 {
		t.Errorf("warm into a cache that is full: %d, %s", code, said)
	}
}

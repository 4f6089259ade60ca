package integration

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cachedMount mounts with a disk cache, through the proxy. Data files stay open, as they should.
func cachedMount(t *testing.T, b *bucket, p *proxy, cacheDir string, flags ...string) *mount {
	t.Helper()
	return startMount(t, mountSpec{
		source: b.source(), endpoint: p.endpoint(), cacheDir: cacheDir,
		flags: append([]string{"--cache-dir", cacheDir, "--memory", "64MiB"}, flags...),
	})
}

// downloads are the GETs of objects among requests.
func downloads(requests []string) []string {
	return slices.DeleteFunc(requests, func(r string) bool { return !strings.HasPrefix(r, "GET ") })
}

// awaitWritten waits until nothing waits to be written to the disk, and what was is committed.
func (m *mount) awaitWritten(bytes int64) {
	m.t.Helper()
	const used, queued, uncommitted = "headrace_disk_used_bytes", "headrace_disk_queued_bytes", "headrace_disk_uncommitted"
	if !holdsWithin(patience, func() bool {
		c := m.counters(used, queued, uncommitted)
		return c[queued] == 0 && c[uncommitted] == 0 && c[used] >= float64(bytes)
	}) {
		m.t.Fatalf("not on the disk: %v", m.counters(used, queued, uncommitted))
	}
}

// awaitKept is awaitWritten for files that the disk may have had no time for: what it has not is read again. All that
// is on the disk then takes so many bytes.
func (m *mount) awaitKept(bytes int64, names ...string) {
	m.t.Helper()
	const used, queued, uncommitted = "headrace_disk_used_bytes", "headrace_disk_queued_bytes", "headrace_disk_uncommitted"
	eventually(m.t, patience, fmt.Sprintf("%q to be on the disk", names), func() bool {
		c := m.counters(used, queued, uncommitted)
		if c[queued] != 0 || c[uncommitted] != 0 || c[used] >= float64(bytes) {
			return c[queued] == 0 && c[uncommitted] == 0
		}
		for _, name := range names {
			if _, err := hashFile("direct", m.path(name)); err != nil {
				m.t.Fatal(err)
			}
		}
		return false
	})
}

// onDisk is how many bytes of the disk objects of these sizes take.
func onDisk(sizes ...int64) (bytes int64) {
	for _, size := range sizes {
		bytes += (size + 4095) / 4096 * 4096
	}
	return bytes
}

// What was just stored is in the disk cache: reading it back asks the store for nothing, also after a restart, and the
// kernel reads it by itself.
func TestWrittenIsCached(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	cache := filepath.Join(t.TempDir(), "cache")
	staging := filepath.Join(cache, "staging") // where it is if nothing is said
	m := cachedMount(t, b, p, cache, "--staging-dir", staging)
	content := string(noise(70<<20, 3))
	m.write(content, "large")
	m.write("small", "small")
	const adopted = "headrace_disk_adopted_total"
	eventually(t, patience, "both files to be taken over", func() bool { return m.counters(adopted)[adopted] == 2 })
	for range 2 {
		for name, want := range map[string]string{"large": content, "small": "small"} {
			if m.read(name) != want {
				t.Errorf("%s: something else is read", name)
			}
		}
		if got := downloads(p.take(t)); len(got) > 0 {
			t.Errorf("reading it back asked the store for %q", got)
		}
		const passed = "headrace_fs_passthrough_opens_total"
		if m.counters(passed)[passed] == 0 {
			t.Error("the kernel did not read by itself")
		}
		m.finish(syscall.SIGTERM)
		m = cachedMount(t, b, p, cache, "--staging-dir", staging)
		eventually(t, patience, "the kernel to read by itself", func() bool {
			return m.read("large") == content && m.counters(passed)[passed] > 0
		})
	}
}

// A file that was just stored and is given another name, by itself or with its directory, is in the disk cache under
// that too: reading it asks the store for nothing.
func TestRenamedIsCached(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	m := cachedMount(t, b, p, filepath.Join(t.TempDir(), "cache"))
	content := string(noise(20<<20, 3))
	m.write(content, "temporary")
	if err := os.Rename(m.path("temporary"), m.path("file")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path("step.tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(content, "step.tmp", "large")
	m.write("small", "step.tmp", "small")
	if err := os.Rename(m.path("step.tmp"), m.path("step")); err != nil {
		t.Fatal(err)
	}
	const adopted = "headrace_disk_adopted_total"
	const unfinished = "headrace_upload_files"
	eventually(t, patience, "the files to be taken over", func() bool { return m.counters(unfinished)[unfinished] == 0 && m.counters(adopted)[adopted] == 3 })
	p.take(t)
	if m.read("file") != content || m.read("step", "large") != content || m.read("step", "small") != "small" {
		t.Error("something else is read")
	}
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("reading it back asked the store for %q", got)
	}
}

// What was read is read from the disk the second time, also after the daemon was restarted or killed.
func TestDiskCacheSurvives(t *testing.T) {
	t.Parallel()
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(end.String(), func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			var want []string
			for i, size := range boundarySizes() {
				want = append(want, b.put(fmt.Sprint("size/", size), pattern(i), size).sha256())
			}
			p := newProxy(t, b.server.Endpoint())
			cache := filepath.Join(t.TempDir(), "cache")
			m := cachedMount(t, b, p, cache, "--memory", "512MiB") // has all, so that what the disk has no time for is offered again
			checkContent(t, m, "read", want)
			m.awaitKept(onDisk(boundarySizes()...))
			if len(downloads(p.take(t))) == 0 {
				t.Error("the first epoch asked the store for nothing")
			}
			m.finish(end)

			m = cachedMount(t, b, p, cache)
			for _, method := range []string{"read", "mmap", "direct"} {
				checkContent(t, m, method, want)
			}
			if got := downloads(p.take(t)); len(got) > 0 {
				t.Errorf("the second epoch asked the store for %q", got)
			}
			// What is whole and was compared with its checksums is read by the kernel alone.
			eventually(t, patience, "the kernel to read by itself", func() bool {
				checkContent(t, m, "pread", want)
				const passed = "headrace_fs_passthrough_opens_total"
				return m.counters(passed)[passed] > 0
			})
			checkContent(t, m, "mmap", want)
			if got := attribute(t, m.path("size", fmt.Sprint(5*chunk+1)), "user.headrace.cached"); !strings.HasPrefix(got, fmt.Sprint(5*chunk+1)) {
				t.Errorf("user.headrace.cached is %q", got)
			}
		})
	}
}

// A damaged block of the disk cache is fetched again: never wrong bytes.
func TestDiskCacheDamaged(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 3*chunk+100)
	p := newProxy(t, b.server.Endpoint())
	cache := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, cache)
	check := func(m *mount) {
		t.Helper()
		if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
			t.Errorf("the object reads as %s, %v", got, err)
		}
	}
	check(m)
	m.awaitKept(onDisk(o.size), "object")
	m.finish(syscall.SIGTERM)
	files := must[[]string](t)(filepath.Glob(filepath.Join(cache, "data", "*", "*")))
	if len(files) != 1 {
		t.Fatalf("data files: %q", files)
	}
	f := must[*os.File](t)(os.OpenFile(files[0], os.O_RDWR, 0))
	for _, off := range []int64{5, chunk + 7*block, 3*chunk + 50} {
		must[int](t)(f.WriteAt([]byte("damage"), off))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.take(t)
	m = startMount(t, mountSpec{
		source: b.source(), endpoint: p.endpoint(), cacheDir: cache, provoked: slog.LevelWarn,
		flags: []string{"--cache-dir", cache, "--memory", "64MiB"},
	})
	check(m)
	if got := downloads(p.take(t)); len(got) != 3 {
		t.Errorf("asked for %q, want three blocks", got)
	}
	if c := m.counters("headrace_disk_corrupt_total"); c["headrace_disk_corrupt_total"] < 3 { // more when a reader and the comparison in the background meet
		t.Errorf("%v", c)
	}
}

// An object that was replaced is read anew, although the version before is on the disk.
func TestDiskCacheIsOfVersions(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	cache := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, cache, "--metadata-ttl", "0s")
	for i, size := range []int64{100 * kib, 100 * kib, 20 * mib, 20 * mib} {
		o := b.put("object", pattern(i), size)
		if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
			t.Errorf("version %d reads as %s, %v", i, got, err)
		}
	}
}

// A disk that is full costs a reader nothing but its help.
func TestDiskCacheOnAFullDisk(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 4*chunk)
	p := newProxy(t, b.server.Endpoint())
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=40m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	cache := filepath.Join(small, "cache")
	m := startMount(t, mountSpec{
		source: b.source(), endpoint: p.endpoint(), cacheDir: cache, provoked: slog.LevelWarn,
		flags: []string{"--cache-dir", cache, "--cache-min-free", "4MiB", "--memory", "64MiB"},
	})
	other := filepath.Join(small, "other")
	for range 2 {
		if got, err := hashFile("read", m.path("object")); err != nil || got != o.sha256() {
			t.Errorf("the object reads as %s, %v", got, err)
		}
		os.WriteFile(other, make([]byte, 64*mib), 0o600) // to the last byte
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
}

// A cache directory is its user's alone, and nothing else is in it.
func TestDiskCacheRefused(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	cache := filepath.Join(t.TempDir(), "cache")
	cachedMount(t, b, p, cache).finish(syscall.SIGTERM)
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.CopyFS(open, os.DirFS(cache)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, says := range map[string]string{
		files:                              "files in it that are not a cache's",
		open:                               "chmod 700",
		filepath.Join(files, "thesis.tex"): "not a directory",
	} {
		mnt := newMountpoint(t)
		refusal{args: []string{b.source(), mnt, "--cache-dir", dir}, code: 9, says: says}.check(t, b.server.Endpoint(), mnt)
	}
}

package integration

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// diskThatFails mounts an ext4 of its own, for a cache that is to lose its disk.
func diskThatFails(t *testing.T) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 512*mib)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop,errors=remount-ro", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// failEverything has an ext4 answer EIO from now on.
func failEverything(t *testing.T, dir string) {
	t.Helper()
	f := must[*os.File](t)(os.Open(dir))
	defer f.Close()
	const ext4IocShutdown, noLogFlush = 0x8004587d, 2 // from the kernel's ext4.h
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4IocShutdown, noLogFlush); err != nil {
		t.Fatal(err)
	}
}

// turnReadOnly has the kernel do what it does when it finds that an ext4 is damaged.
func turnReadOnly(t *testing.T, dir string) {
	t.Helper()
	device := must[[]byte](t)(exec.Command("findmnt", "-n", "-o", "SOURCE", dir).Output())
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// A cache disk that fails, or turns read-only, under a mount costs readers nothing but its help: it is counted, and
// logged once.
func TestDiskCacheLosesItsDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail      func(*testing.T, string)
		stillHere bool // what was kept before is served
	}{
		"fails":     {fail: failEverything},
		"read-only": {fail: turnReadOnly, stillHere: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			kept, fresh := b.put("kept", 1, 3*chunk+100), b.put("fresh", 2, 3*chunk+100)
			p := newProxy(t, b.server.Endpoint())
			disk := diskThatFails(t)
			cache := filepath.Join(disk, "cache")
			spec := mountSpec{
				source: b.source(), endpoint: p.endpoint(), cacheDir: cache, provoked: slog.LevelWarn,
				flags: []string{"--cache-dir", cache, "--memory", "32MiB"},
			}
			m := startMount(t, spec)
			check := func(name string, o object) {
				t.Helper()
				for _, method := range []string{"direct", "read"} { // past the page cache, and by way of it
					if got, err := hashFile(method, m.path(name)); err != nil || got != o.sha256() {
						t.Errorf("%s by %s reads as %s, %v", name, method, got, err)
					}
				}
			}
			check("kept", kept)
			m.awaitKept(onDisk(kept.size), "kept")
			c.fail(t, disk)
			p.take(t)
			check("kept", kept)
			if asked := len(downloads(p.take(t))) > 0; asked == c.stillHere {
				t.Errorf("the store was asked for what had been kept: %v", asked)
			}
			check("fresh", fresh)
			const failures = "headrace_disk_errors_total"
			eventually(t, patience, "the failure to be counted", func() bool { return m.counters(failures)[failures] > 0 })
			eventually(t, patience, "it to be logged", func() bool { return strings.Contains(m.rawLog(), "the cache disk fails") })
			told := map[string]bool{} // by what the system says
			for line := range strings.Lines(m.rawLog()) {
				if _, kind, ok := strings.Cut(line, `"error":`); ok && strings.Contains(line, "the cache disk fails") {
					if told[kind] {
						t.Errorf("logged again:\n%s", m.rawLog())
					}
					told[kind] = true
				}
			}
			m.finish(syscall.SIGTERM)
			m = startMount(t, spec) // does without the disk from the start
			check("kept", kept)
			if n := strings.Count(m.rawLog(), "the cache directory cannot be used"); n != 1 || m.counters(failures)[failures] == 0 {
				t.Errorf("logged %d times:\n%s", n, m.rawLog())
			}
			m.finish(syscall.SIGTERM)
		})
	}
}

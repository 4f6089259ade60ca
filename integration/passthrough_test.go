package integration

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whether the kernel reads by itself is found out: who may not have it do so, or does not want it to, reads the same
// bytes from the same disk by way of the daemon.
func TestPassthroughOnlyWhereItCanBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		binary func(t *testing.T) func() (string, error)
		flags  []string
		want   bool
	}{
		"root":         {want: true},
		"not wanted":   {flags: []string{"--passthrough", "off"}},
		"unprivileged": {binary: withoutCapabilities},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			o := b.put("object", 1, 3*chunk+100)
			p := newProxy(t, b.server.Endpoint())
			cache := filepath.Join(t.TempDir(), "cache")
			spec := mountSpec{
				source: b.source(), endpoint: p.endpoint(), cacheDir: cache,
				flags: append([]string{"--cache-dir", cache, "--memory", "64MiB"}, c.flags...),
			}
			if c.binary != nil {
				spec.binary = c.binary(t)
			}
			check := func(m *mount) {
				t.Helper()
				for _, method := range []string{"read", "mmap"} {
					if got, err := sums(t, method, m.path("object")); err != nil || got[0] != o.sha256() {
						t.Errorf("%s: the object reads as %s, %v", method, got, err)
					}
				}
			}
			m := startMount(t, spec)
			check(m)
			m.awaitKept(onDisk(o.size), "object")
			m.finish(syscall.SIGTERM)
			p.take(t)
			m = startMount(t, spec)
			check(m) // from the disk, and compared with the checksums
			const passed, read = "headrace_fs_passthrough_opens_total", "headrace_disk_read_bytes_total"
			if c.want {
				eventually(t, patience, "the kernel to read by itself", func() bool {
					check(m)
					return m.counters(passed)[passed] > 0
				})
			}
			check(m)
			if got := m.counters(passed, read); (got[passed] > 0) != c.want || int64(got[read]) < 3*chunk {
				t.Errorf("%v", got)
			}
			if got := downloads(p.take(t)); len(got) > 0 {
				t.Errorf("asked the store for %q", got)
			}
		})
	}
}

// withoutCapabilities is headrace as a user runs it who may do nothing but what files allow: it mounts by fusermount3.
// It stays root by number, for which the kernel gives no capabilities here, so that it may open /dev/fuse wherever the
// tests run.
func withoutCapabilities(t *testing.T) func() (string, error) {
	return func() (string, error) {
		headrace, err := shared.raced()
		if err != nil {
			return "", err
		}
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0755"); err != nil { // the usual one may have nosuid
			return "", err
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		if err := installFusermount(dir); err != nil {
			return "", err
		}
		script := fmt.Sprintf("#!/bin/sh\nPATH=%s:$PATH exec setpriv --securebits=+noroot --inh-caps=-all -- %s \"$@\"\n", dir, headrace)
		path := filepath.Join(dir, "headrace")
		return path, os.WriteFile(path, []byte(script), 0o755)
	}
}

// installFusermount copies fusermount3 into dir and gives it, by capabilities(7) of the file, what set-user-id gives it
// elsewhere.
func installFusermount(dir string) error {
	installed, err := exec.LookPath("fusermount3")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(installed)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "fusermount3")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		return err
	}
	const revision2, effective = 0x02000000, 1 // linux/capability.h: VFS_CAP_REVISION_2, VFS_CAP_FLAGS_EFFECTIVE
	capability := binary.LittleEndian.AppendUint32(nil, revision2|effective)
	for _, set := range []uint32{1 << unix.CAP_SYS_ADMIN, 0, 0, 0} { // permitted, inheritable; each the lower half, then the upper
		capability = binary.LittleEndian.AppendUint32(capability, set)
	}
	return unix.Setxattr(path, "security.capability", capability, 0)
}

package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// thinDisk mounts a file system that believes to have more room than there is, as on thin provisioned volumes. Once
// exhaust was called, what the page cache takes fails when it is written out, but for what the file system itself
// notes.
func thinDisk(t *testing.T) (dir string, exhaust func()) {
	t.Helper()
	const room, believed = 32 * mib, 192 * mib
	below := onDisk(t, room)
	image := filepath.Join(below, "image")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(believed); err != nil {
		t.Fatal(err)
	}
	makeExt4(t, image, "-b", "4096", "-N", "2048", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0")
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 4*mib); err != nil { // where it notes
		t.Fatal(err)
	}
	return mountLoop(t, image, "loop"), func() {
		unix.Sync()
		if err := os.WriteFile(filepath.Join(below, "rest"), make([]byte, room), 0o600); err == nil {
			t.Fatal("there is more room than there should be")
		}
	}
}

// makeExt4 makes a file system in an image.
func makeExt4(t *testing.T, image string, options ...string) {
	t.Helper()
	if out, err := exec.Command("mkfs.ext4", append(options, "-q", "-F", image)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func loop(t *testing.T, image, options, dir string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", options, image, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// mountLoop mounts an image until the test ends.
func mountLoop(t *testing.T, image, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	loop(t, image, options, dir)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestThinDisk: small objects and written files, which go by way of the page cache, are not there when the disk did not
// take them after all.
func TestThinDisk(t *testing.T) {
	dir, exhaust := thinDisk(t)
	var clock atomic.Int64 // so that each failure is long ago for the next offer
	now := func() time.Time { return time.Unix(clock.Add(60), 0) }
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), Now: now})
	var versions []objstore.Version
	for i := range 40 {
		if i == 20 {
			exhaust()
		}
		v := versionOf(fmt.Sprint("small", i), 400<<10)
		versions = append(versions, v)
		data := contentOf(v, 0)
		done := make(chan struct{})
		if tier.Offer(&Offer{Version: v, Data: data, Blocks: 1, Done: func() { close(done) }}) {
			<-done
		}
		freeBytes(data)
	}
	written := versionOf("written", 3*mib)
	tier.Adopt(written, writeVersion(t, filepath.Join(dir, "staging"), written), 1)
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil { // what is read from now on is what the disk has
		t.Fatal(err)
	}
	n := 0
	for _, v := range append(versions, written) {
		if found(t, tier, v, 0) != 0 { // found compares the bytes
			n++
		}
	}
	if s := tier.Stats(); n != 20 || s.Errors == 0 || s.Adopted != 0 {
		t.Errorf("%d are there: %+v", n, s)
	}
}

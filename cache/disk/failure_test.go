package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onDisk mounts a file system of a size, for tests of what happens when there is no room.
func onDisk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFloor: the disk keeps its free space, also when others fill it.
func TestFloor(t *testing.T) {
	const size, floor = 96 * mib, 20 * mib
	dir := onDisk(t, size)
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), Size: 1 << 30, MinFree: floor})
	for i := range 60 {
		keepAll(t, tier, versionOf(fmt.Sprint(i), 2*mib))
		if fs, err := statfs(dir); err != nil || fs.free < floor {
			t.Fatalf("%d bytes are free: %v", fs.free, err)
		}
	}
	if used := tier.Stats().Used; used < 30*mib {
		t.Errorf("only %d bytes are used", used)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 30*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "shrunk", func() bool {
		fs, err := statfs(dir)
		return err == nil && fs.free >= floor
	})
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: when the disk takes nothing, what is there is served and nobody hears of it but the log, once.
func TestFullDisk(t *testing.T) {
	dir := onDisk(t, 48*mib)
	var log bytes.Buffer
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	kept := versionOf("kept", 3*mib)
	keepAll(t, tier, kept)
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 64*mib), 0o600); err == nil {
		t.Fatal("the disk is larger than it should be")
	}
	tier.space.limit, tier.space.minFree = 1<<40, -(1 << 40) // as if the file system said that there is room, as with quotas
	for i := range 10 {
		v := versionOf(fmt.Sprint(i), 2*mib)
		data := contentOf(v, 0)
		done := make(chan struct{})
		if tier.Offer(&Offer{Version: v, Data: data, Blocks: 0b11, Done: func() { close(done) }}) {
			<-done
		}
		found(t, tier, v, 0)
	}
	if found(t, tier, kept, 0) != 0b111 {
		t.Error("what was there is gone")
	}
	if s := tier.Stats(); s.Errors == 0 || s.BytesSkipped == 0 {
		t.Errorf("not counted: %+v", s)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(log.Bytes(), []byte("no space left")); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// brokenLater mounts an ext4 that can be made to fail everything that is asked of it.
func brokenLater(t *testing.T) (dir string, fail func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 128*mib)); err != nil {
		t.Fatal(err)
	}
	makeExt4(t, image)
	dir = mountLoop(t, image, "loop")
	return dir, func() {
		if err := shutDown(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// shutDown has an ext4 take and give nothing any more, as when its power is cut: what was not written out is lost.
func shutDown(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	const ext4IocShutdown, noLogFlush = 0x8004587d, 2 // from the kernel's ext4.h
	return unix.IoctlSetPointerInt(int(f.Fd()), ext4IocShutdown, noLogFlush)
}

// TestBrokenDisk: when every access to the disk fails, reads miss, offers are refused, and the log says so once.
func TestBrokenDisk(t *testing.T) {
	dir, fail := brokenLater(t)
	var log bytes.Buffer
	tier, err := Open(Config{Dir: filepath.Join(dir, "cache"), Size: 64 * mib, MinFree: 1, Queue: 64 * mib, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v := versionOf("kept", 3*mib)
	keepAll(t, tier, v)
	if found(t, tier, v, 0) != 0b111 {
		t.Fatal("not kept")
	}
	fail()
	for i := range 5 {
		w := versionOf(fmt.Sprint(i), 2*mib)
		data := contentOf(w, 0)
		done := make(chan struct{})
		if tier.Offer(&Offer{Version: w, Data: data, Blocks: 0b11, Done: func() { close(done) }}) {
			<-done
		}
		found(t, tier, w, 0)
		found(t, tier, v, 0)
	}
	if s := tier.Stats(); s.Errors == 0 || s.BytesSkipped == 0 {
		t.Errorf("not counted: %+v", s)
	}
	_ = tier.Close() // there is nothing that the disk still takes
	if n := bytes.Count(log.Bytes(), []byte("the cache disk fails")); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// TestReadOnlyDisk: what is on a disk that turned read-only is served, nothing is kept any more, and the log says so
// once.
func TestReadOnlyDisk(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 128*mib)); err != nil {
		t.Fatal(err)
	}
	makeExt4(t, image)
	dir := mountLoop(t, image, "loop,errors=remount-ro")
	var log bytes.Buffer
	cfg := Config{Dir: filepath.Join(dir, "cache"), Size: 64 * mib, MinFree: 1, Queue: 64 * mib, Log: slog.New(slog.NewTextHandler(&log, nil))}
	tier, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v, small := versionOf("kept", 3*mib), versionOf("small", 4000)
	keepAll(t, tier, v)
	keepAll(t, tier, small)
	if err := tier.check(); err != nil {
		t.Fatal(err)
	}
	turnReadOnly(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Fatalf("the disk is not read-only: %v", err)
	}
	for i := range 5 {
		w := versionOf(fmt.Sprint(i), 2*mib)
		data := contentOf(w, 0)
		done := make(chan struct{})
		if tier.Offer(&Offer{Version: w, Data: data, Blocks: 0b11, Done: func() { close(done) }}) {
			<-done
		}
		if found(t, tier, w, 0) != 0 {
			t.Error("something was kept")
		}
		if found(t, tier, v, 0) != 0b111 || found(t, tier, small, 0) != 1 {
			t.Error("what is there is not found")
		}
	}
	lease := tier.Lease(v)
	if lease == nil {
		t.Error("what is there is not leased")
	} else {
		lease.Release()
	}
	if s := tier.Stats(); s.Errors == 0 || s.BytesSkipped == 0 {
		t.Errorf("not counted: %+v", s)
	}
	_ = tier.Close() // the disk takes no last commit
	if n := bytes.Count(log.Bytes(), []byte("the cache disk fails")); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	if _, err := Open(cfg); !errors.Is(err, unix.EROFS) {
		t.Errorf("a cache on a read-only disk: %v", err)
	}
}

// turnReadOnly has the kernel do what it does when it finds that an ext4 is damaged.
func turnReadOnly(t *testing.T, dir string) {
	t.Helper()
	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// TestFullFromTheStart: a cache on a disk that others have filled to the last byte opens, gives room, and serves what
// is left.
func TestFullFromTheStart(t *testing.T) {
	dir := onDisk(t, 48*mib)
	cfg := Config{Dir: filepath.Join(dir, "cache"), Size: 40 * mib, MinFree: 4 * mib}
	tier := openTier(t, cfg)
	for i := range 10 {
		keepAll(t, tier, versionOf(fmt.Sprint(i), 2*mib))
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 64*mib), 0o600); err == nil {
		t.Fatal("the disk is larger than it should be")
	}
	tier = openTier(t, cfg)
	eventually(t, "room is given", func() bool {
		fs, err := statfs(dir)
		return err == nil && fs.free >= 4*mib
	})
	for i := range 10 {
		found(t, tier, versionOf(fmt.Sprint(i), 2*mib), 0)
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// TestOthersFillTheDisk while a batch is being written: what is not yet written of it is not.
func TestOthersFillTheDisk(t *testing.T) {
	const floor = 20 * mib
	dir := onDisk(t, 160*mib)
	var once sync.Once
	fill := func(step string) {
		if step != "before data" {
			return
		}
		once.Do(func() {
			fs, err := statfs(dir)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "other"), make([]byte, fs.free-floor), 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	tier := openTier(t, Config{Dir: filepath.Join(dir, "cache"), MinFree: floor, crash: fill})
	var offers []*Offer
	for i := range 30 {
		offers = append(offers, offerOf(t, versionOf(fmt.Sprint(i), 2*mib), 0))
	}
	offerAtOnce(t, tier, offers...)
	if fs, err := statfs(dir); err != nil || fs.free < floor {
		t.Errorf("%d MiB are free, %v", fs.free/mib, err)
	}
	if s := tier.Stats(); s.BytesSkipped == 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "only what is in the index is on the disk", func() bool { return diskUsage(t, tier.dir.path) <= tier.Stats().Used })
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

// TestLost: a disk that goes on failing is given up, and leaves nothing behind that would keep it from being unmounted;
// one that can still be read is not, until it is detached.
func TestLost(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(t *testing.T, dir string)
		lost bool
	}{
		"dead":      {fail: func(t *testing.T, dir string) { must(t, shutDown(dir)) }, lost: true},
		"read-only": {fail: turnReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
			must(t, errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64*mib)))
			makeExt4(t, image)
			loop(t, image, "loop,errors=remount-ro", dir)
			var clock atomic.Int64
			tier, err := Open(Config{Dir: filepath.Join(dir, "cache"), Size: 32 * mib, MinFree: 1, Queue: 64 * mib, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
			must(t, err)
			v := versionOf("kept", 3*mib)
			keepAll(t, tier, v)
			must(t, tier.check())
			hold := tier.Hold(v, 0)
			c.fail(t, dir)
			more, done := offerOf(t, versionOf("more", mib), 0), make(chan struct{})
			more.Done = func() { close(done) }
			if tier.Offer(more) { // else the disk's end was noticed already
				<-done
			}
			lost := func() bool {
				clock.Add(16)
				inOrder(t, tier, func() error { tier.lookAtDisk(); return nil })
				select {
				case <-tier.Lost():
					return true
				default:
					return false
				}
			}
			for range 2 {
				if got := lost(); got != c.lost {
					t.Errorf("lost: %v", got)
				}
			}
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil || !lost() {
				t.Errorf("it was detached and is not lost: %v", err)
			}
			_ = tier.Close() // the disk takes no last commit
			if tier.Hold(v, 0) != nil || tier.Lease(v) != nil || tier.Present(v, 0) != 0 || tier.Cached(v) != 0 || tier.Idle() {
				t.Error("something is found in what is closed")
			}
			hold.Release()
			eventually(t, "all of it is closed", func() bool {
				out, err := exec.Command("losetup", "-j", image).CombinedOutput()
				return err == nil && len(out) == 0
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

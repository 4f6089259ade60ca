package fs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mounted mounts cfg for the length of a test, after which nothing may be left: no mount, no goroutine, no pin.
func mounted(t *testing.T, cfg Config, opts MountOptions) (*Server, string) {
	t.Helper()
	dir := t.TempDir()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Mount(dir, cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Unmount(); err != nil && !errors.Is(err, ErrNotMounted) {
			t.Errorf("unmount: %v", err)
			s.Abort()
		}
		s.Wait()
		if _, err := findMount(dir); !errors.Is(err, ErrNotMounted) {
			t.Errorf("after unmount: %v", err)
		}
		checkNoGoroutines(t)
		if stats := s.Stats(); stats.Files+stats.Dirs+stats.Locks > 0 {
			t.Errorf("still open: %+v", stats)
		}
	})
	return s, dir
}

// checkNoGoroutines fails the test when goroutines of this package or the protocol library are left. One that has said
// that it ends may not have got to it yet.
func checkNoGoroutines(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = nil
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(stack, "go-fuse") || strings.Contains(stack, "headrace/fs.(*") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind:\n%s", strings.Join(left, "\n\n"))
}

// TestMountShowsObjects lists, stats and reads through ordinary tools.
func TestMountShowsObjects(t *testing.T) {
	b := newFakeBucket()
	b.put("a.txt", []byte("first\n"))
	b.put("dir/b.bin", contentOf("b", 3<<20))
	b.put("dir/sub/c", nil)
	cfg, source := testConfig(t, b)
	cfg.UID, cfg.GID, cfg.FileMode, cfg.DirMode = 1234, 5678, 0o640, 0o750
	s, dir := mounted(t, cfg, MountOptions{FSName: "s3://bucket"})

	if got := run(t, exec.Command("ls", dir)); got != "a.txt\ndir\n" {
		t.Errorf("ls: %q", got)
	}
	if got := run(t, exec.Command("find", dir, "-printf", "%P %y %s %m %U %G\n")); !sameLines(got, []string{
		" d 0 750 1234 5678", "a.txt f 6 640 1234 5678", "dir d 0 750 1234 5678", "dir/b.bin f 3145728 640 1234 5678",
		"dir/sub d 0 750 1234 5678", "dir/sub/c f 0 640 1234 5678",
	}) {
		t.Errorf("find:\n%s", got)
	}
	if got := run(t, exec.Command("cat", filepath.Join(dir, "a.txt"), filepath.Join(dir, "dir/b.bin"))); got != "first\n"+string(contentOf("b", 3<<20)) {
		t.Errorf("cat returned %d other bytes", len(got))
	}
	if got := run(t, exec.Command("stat", "-c", "%y", "--printf", "%Y %h %i\n", filepath.Join(dir, "a.txt"))); !strings.HasPrefix(got, "1700000001 1 ") {
		t.Errorf("stat: %q", got)
	}
	if got := run(t, exec.Command("ls", "-i", dir)); !strings.Contains(got, fmt.Sprint(inoOf("bucket", false, "a.txt"))) || !strings.Contains(got, fmt.Sprint(inoOf("bucket", true, "dir/"))) {
		t.Errorf("ls -i: %q", got)
	}
	if out, err := exec.Command("cat", filepath.Join(dir, "none")).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("No such file")) {
		t.Errorf("cat of nothing: %s, %v", out, err)
	}
	if got := run(t, exec.Command("df", "--output=source,fstype,avail", dir)); !strings.Contains(got, "1099511627776") {
		t.Errorf("df: %q", got)
	}
	if stats := s.Stats(); stats.Reads == 0 || stats.ReadBytes < 3<<20 || stats.Lookups == 0 || stats.Nodes < 2 {
		t.Errorf("%+v", stats)
	}
	if source.pinned != 0 {
		t.Errorf("%d replies were not released", source.pinned)
	}
}

func sameLines(got string, want []string) bool {
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	slices.Sort(lines)
	return slices.Equal(lines, want)
}

// TestMountReadsEveryWay reads files of sizes around the boundaries of pages and requests with read, pread, mmap,
// sendfile, readv and O_DIRECT, in both read modes.
func TestMountReadsEveryWay(t *testing.T) {
	b := newFakeBucket()
	sizes := []int{0, 1, 4095, 4096, 4097, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 123}
	for _, mode := range []ReadMode{ReadCached, ReadDirect} {
		t.Run(mode.String(), func(t *testing.T) {
			cfg, _ := testConfig(t, b)
			cfg.ReadMode = mode
			_, dir := mounted(t, cfg, MountOptions{})
			var paths, want []string
			for _, size := range sizes {
				name := fmt.Sprint("size", size)
				data := contentOf(name, size)
				b.put(name, data)
				paths = append(paths, filepath.Join(dir, name))
				want = append(want, fmt.Sprintf("%x\n", sha256.Sum256(data)))
			}
			if got := run(t, child("sum", paths...)); got != strings.Join(want, "") {
				t.Errorf("hashes\n%swant\n%s", got, want)
			}
		})
	}
}

// TestMountRefusesChanges: every change is EROFS, with nothing asked of the store.
func TestMountRefusesChanges(t *testing.T) {
	b := newFakeBucket()
	b.put("dir/file", []byte("x"))
	b.put("dir/sub/file", []byte("x"))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	if got := run(t, child("write", filepath.Join(dir, "dir"), "file", "sub")); got != "" {
		t.Errorf("not refused as it should be:\n%s", got)
	}
}

// TestMountRemountedWritableRefusesChanges: also when the kernel lets them through.
func TestMountRemountedWritableRefusesChanges(t *testing.T) {
	b := newFakeBucket()
	b.put("dir/file", []byte("x"))
	b.put("dir/sub/file", []byte("x"))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_NOSUID|syscall.MS_NODEV, ""); err != nil {
		t.Fatal(err)
	}
	if got := run(t, child("write", filepath.Join(dir, "dir"), "file", "sub")); got != "" {
		t.Errorf("not refused as it should be:\n%s", got)
	}
}

// TestMountShowsExtendedAttributes of a file.
func TestMountShowsExtendedAttributes(t *testing.T) {
	b := newFakeBucket()
	b.put("dir/file", []byte("hello"))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	run(t, exec.Command("cat", filepath.Join(dir, "dir/file")))
	got := run(t, child("xattr", filepath.Join(dir, "dir/file")))
	want := "user.s3.etag=etag1700000001\nuser.s3.key=dir/file\nuser.s3.storage_class=STANDARD\nuser.headrace.cached=5\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := run(t, child("xattr", filepath.Join(dir, "dir"))); got != "user.s3.key=dir/\n" {
		t.Errorf("of a directory: %s", got)
	}
}

// TestMountReadsDirectoryInPieces: a directory of more names than fit any buffer has each once, "." and ".." first, and
// its offsets lead back to where they were given.
func TestMountReadsDirectoryInPieces(t *testing.T) {
	b := newFakeBucket()
	const files = 3000
	for i := range files {
		b.put(fmt.Sprintf("dir/name-%05d", i), []byte("x"))
	}
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	if got := run(t, child("seekdir", filepath.Join(dir, "dir"))); got != fmt.Sprintln(files+2, files+2, ".", "..") {
		t.Errorf("got %q", got)
	}
	if got := run(t, exec.Command("ls", "-l", filepath.Join(dir, "dir"))); strings.Count(got, "\n") != files+1 {
		t.Errorf("ls -l has %d lines", strings.Count(got, "\n"))
	}
}

// TestUnmountBusy: a mount that is used stays, and goes when it is not used any more.
func TestUnmountBusy(t *testing.T) {
	b := newFakeBucket()
	b.put("file", []byte("x"))
	cfg, _ := testConfig(t, b)
	s, dir := mounted(t, cfg, MountOptions{})
	holder := start(t, child("open", filepath.Join(dir, "file")))
	if err := s.Unmount(); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("unmount of a mount in use: %v", err)
	}
	if err := Unmount(dir, false); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("unmount of a mount in use: %v", err)
	}
	holder.finish(t)
	if err := Unmount(dir, false); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	if err := Unmount(dir, false); !errors.Is(err, ErrNotMounted) {
		t.Fatalf("second unmount: %v", err)
	}
}

// TestAbort ends the mount under those who use it, also one that waits for a store that does not answer.
func TestAbort(t *testing.T) {
	b := newFakeBucket()
	b.put("file", contentOf("file", 5<<20))
	b.put("other", []byte("x"))
	cfg, _ := testConfig(t, b)
	s, dir := mounted(t, cfg, MountOptions{})
	holder := start(t, child("open", filepath.Join(dir, "other")))
	b.stall("GET")
	waiting := start(t, child("raw-read", filepath.Join(dir, "file"), "open"))
	<-b.reached
	s.Abort()
	s.Wait()
	if took := waiting.gone(syscall.SIGCONT); took > time.Minute {
		t.Errorf("the waiting reader took %v to notice", took)
	}
	holder.finish(t)
}

// TestMountPointIsWrong has an error for each thing that can be.
func TestMountPointIsWrong(t *testing.T) {
	cfg, _ := testConfig(t, newFakeBucket())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Mount(file, cfg, MountOptions{}); !errors.Is(err, ErrNotDirectory) {
		t.Errorf("on a file: %v", err)
	}
	if _, err := Mount(filepath.Join(file, "x"), cfg, MountOptions{}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := Mount(filepath.Join(t.TempDir(), "none"), cfg, MountOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("on nothing: %v", err)
	}
	cfg.Files = nil
	if _, err := Mount(t.TempDir(), cfg, MountOptions{}); err == nil {
		t.Error("a configuration without a source of bytes was taken")
	}
}

// TestUnmountDead: a mount whose process is dead can be told from others and taken away.
func TestUnmountDead(t *testing.T) {
	dir := t.TempDir()
	fd, err := mountDirectly(dir, MountOptions{FSName: "dead"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	cfg, _ := testConfig(t, newFakeBucket())
	if _, err := Mount(dir, cfg, MountOptions{}); !errors.Is(err, ErrDeadMount) {
		t.Errorf("mount on a dead mount: %v", err)
	}
	if err := Unmount(dir, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("after it is gone: %v", err)
	}
}

package integration

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// hangingDisk shows a directory below, until it hangs: then it answers nothing until it is let go.
type hangingDisk struct {
	fuse.RawFileSystem
	dir string

	mu   sync.Mutex    // guards hung
	hung chan struct{} // nil while it answers
}

// newHangingDisk mounts one for as long as the test lasts.
func newHangingDisk(t *testing.T) *hangingDisk {
	t.Helper()
	root := must[fs.InodeEmbedder](t)(fs.NewLoopbackRoot(t.TempDir()))
	d := &hangingDisk{RawFileSystem: fs.NewNodeFS(root, &fs.Options{}), dir: t.TempDir()}
	server := must[*fuse.Server](t)(fuse.NewServer(d, d.dir, &fuse.MountOptions{DirectMountStrict: true, FsName: "hanging"}))
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.letGo()
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
		server.Wait()
	})
	return d
}

func (d *hangingDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung = make(chan struct{})
}

func (d *hangingDisk) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

func (d *hangingDisk) wait() {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

func (d *hangingDisk) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	d.wait()
	return d.RawFileSystem.Lookup(cancel, in, name, out)
}

func (d *hangingDisk) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	d.wait()
	return d.RawFileSystem.Open(cancel, in, out)
}

func (d *hangingDisk) Read(cancel <-chan struct{}, in *fuse.ReadIn, b []byte) (fuse.ReadResult, fuse.Status) {
	d.wait()
	return d.RawFileSystem.Read(cancel, in, b)
}

func (d *hangingDisk) Write(cancel <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	d.wait()
	return d.RawFileSystem.Write(cancel, in, b)
}

func (d *hangingDisk) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	d.wait()
	return d.RawFileSystem.Fsync(cancel, in)
}

func (d *hangingDisk) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	d.wait()
	return d.RawFileSystem.StatFs(cancel, in, out)
}

// A cache disk that stops answering holds readers up for some seconds, once: what they wait for comes from the store.
// It is counted, and logged once.
func TestDiskCacheHangs(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	kept, other := b.put("kept", 1, 2*chunk+100), b.put("other", 2, chunk)
	disk := newHangingDisk(t)
	cache := filepath.Join(disk.dir, "cache")
	spec := mountSpec{source: b.source(), endpoint: b.server.Endpoint(), cacheDir: cache, provoked: slog.LevelWarn, flags: []string{"--cache-dir", cache, "--memory", "64MiB", "--read-only"}}
	check := func(m *mount, name string, o object) {
		t.Helper()
		if got, err := hashFile("direct", m.path(name)); err != nil || got != o.sha256() {
			t.Errorf("%s reads as %s, %v", name, got, err)
		}
	}
	m := startMount(t, spec)
	check(m, "kept", kept)
	check(m, "other", other)
	m.awaitWritten(3 * chunk)
	m.finish(syscall.SIGTERM) // with what is in memory
	m = startMount(t, spec)
	disk.hang()
	defer disk.letGo()
	begun := time.Now()
	check(m, "kept", kept)
	check(m, "other", other)
	t.Logf("read in %v", time.Since(begun))
	const stalls = "headrace_cache_disk_stalls_total"
	if m.counters(stalls)[stalls] == 0 {
		t.Error("not counted")
	}
	if n := strings.Count(m.rawLog(), "the cache disk does not answer"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, m.rawLog())
	}
	disk.letGo()
	check(m, "kept", kept)
	m.finish(syscall.SIGTERM)
}

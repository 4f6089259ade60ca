package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/s3store"
	"github.com/headrace/headrace/s3server"
)

// buildDir holds the binary for as long as the tests run.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "headrace-bench-test-")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// headrace builds the binary once for all tests of the package.
var headrace = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "headrace")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/headrace").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// quick is a run that takes a second or two, in a directory that must be empty afterwards, with no mount below it.
func quick(t *testing.T) Options {
	binary, err := headrace()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
		mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
		if err != nil || len(mounts) != 0 {
			t.Errorf("left mounted: %v, %v", mounts, err)
		}
	})
	return Options{Binary: binary, Dir: dir, Size: 40 * mib, SmallFiles: 20, Duration: 100 * time.Millisecond, MountArgs: []string{"--memory=128MiB"}}
}

// Every workload brings figures for both sides, and leaves nothing behind.
func TestRunAll(t *testing.T) {
	report, err := Run(t.Context(), quick(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != len(allWorkloads()) {
		t.Fatalf("%d rows", len(report.Rows))
	}
	// What is read from the disk cache, and whether the kernel does so by itself.
	cached := map[string]struct {
		leastFromDisk float64
		passes        bool
	}{
		"disk-sequential-1": {1, true}, "disk-sequential-4": {1, true}, "disk-random-4k-direct": {0.9, true}, "disk-random-4k-warm": {0, true},
		"disk-small-files": {0.9, false}, "disk-daemon": {0.9, false}, "disk-daemon-file": {0.9, false}, "sequential-1": {0, false}, "disk-first-epoch": {0, false},
	}
	for _, r := range report.Rows {
		if r.PeakRSS == 0 {
			t.Errorf("%s: no memory", r.Workload)
		}
		if r.Workload == "idle" {
			continue
		}
		if r.Reference <= 0 || r.Mount <= 0 || r.Ratio <= 0 || r.MountP99 < r.MountP50 || r.MountP50 <= 0 || r.ReferenceP50 <= 0 {
			t.Errorf("%+v", r)
		}
		written := strings.HasPrefix(r.Workload, "write-") // which checks itself what the store has
		if local := strings.HasPrefix(r.Against, "local") || r.Against == "memory"; !written && local != (r.FetchedPerRead == 0) {
			t.Errorf("%+v", r)
		}
		if got, ok := cached[r.Workload]; ok && (r.FromDisk < got.leastFromDisk || (r.Passthrough > 0) != got.passes) {
			t.Errorf("%+v", r)
		}
		if r.Workload == "sequential-1" && (r.Requests < 3 || r.Requests > 6 || r.FetchedPerRead != 1) {
			t.Errorf("40 MiB are three ranges and some questions: %+v", r)
		}
	}
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
}

// A shaped run sees the latency on both sides, and what the raw client costs: the shaper is a process of its own.
func TestRunShaped(t *testing.T) {
	opts := quick(t)
	opts.FirstByte, opts.Rate = 50*time.Millisecond, 80*mib
	opts.Workloads = []string{"first-byte"}
	report, err := Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if r := report.Rows[0]; r.Reference < 50 || r.Mount < 50 || r.ReferenceCPU <= 0 {
		t.Errorf("%+v", r)
	}
}

// A run that is interrupted says so, returns what it has, and takes everything down.
func TestRunInterrupted(t *testing.T) {
	for at, name := range map[string]string{
		"random-4k-1: raw": "random-4k-1", "random-4k-1: mount": "random-4k-1",
		"filling the disk cache": "disk-sequential-1", "disk-sequential-1: mount": "disk-sequential-1", "disk-daemon: memory": "disk-daemon",
	} {
		t.Run(at, func(t *testing.T) {
			opts := quick(t)
			opts.Workloads = []string{"idle", name}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opts.Progress = onLine{at, cancel}
			report, err := Run(ctx, opts)
			if !errors.Is(err, context.Canceled) || report == nil || len(report.Rows) != 1 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// A store that stops answering stops no run from ending.
func TestRunStalled(t *testing.T) {
	server, _ := given(t)
	opts := quick(t)
	opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
	opts.ReadOnly, opts.Keys, opts.Workloads = true, []string{"data/a"}, []string{"sequential-1"}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	opts.Progress = onLine{"sequential-1: mount", func() {
		if err := server.Stall(); err != nil {
			t.Error(err)
		}
	}}
	defer func() {
		if err := server.Resume(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := Run(ctx, opts); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A store that sends the raw client nothing makes no figure of 0, whether or not the workload ends by itself.
func TestRunStalledRaw(t *testing.T) {
	for _, name := range []string{"sequential-1", "random-4k-1"} {
		t.Run(name, func(t *testing.T) {
			server, _ := given(t)
			opts := quick(t)
			opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
			opts.ReadOnly, opts.Keys, opts.Workloads = true, []string{"data/a"}, []string{name}
			opts.Progress = onLine{name + ": raw", func() {
				if err := server.Stall(); err != nil {
					t.Error(err)
				}
			}}
			if report, err := Run(t.Context(), opts); !errors.Is(err, ErrStalled) || len(report.Rows) != 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// A read that the mount does not answer ends with the daemon, some time after the workload's: the system call and the
// page fault alike, which nothing else would end.
func TestStalledMountIsKilled(t *testing.T) {
	for _, w := range allWorkloads() {
		if w.name != "random-4k-1" && w.name != "mmap" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			opts := quick(t)
			opts.Size, opts.stallGrace = 128*mib, time.Second // more than is on its way when the server stops
			opts, err := opts.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			store, err := openTarget(t.Context(), opts, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := store.close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			if err := store.prepare(t.Context(), opts, []workload{w}); err != nil {
				t.Fatal(err)
			}
			store.check = func([]byte, object, int64) error { return store.server.Stall() }
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // which a page fault keeps from all others
			start := time.Now()
			_, _, err = store.mounted(t.Context(), opts, w, store.visit(opts, w, mountpoint(dir, 0)))
			if !errors.Is(err, ErrStalled) {
				t.Errorf("%v", err)
			}
			// The mount itself would try for a minute and more.
			if took := time.Since(start); took > 50*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// onLine calls do when a line with text is written.
type onLine struct {
	text string
	do   func()
}

func (o onLine) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(o.text)) {
		o.do()
	}
	return len(p), nil
}

// given is a server with two objects in a bucket of that name; the environment holds its credentials.
func given(t *testing.T) (*s3server.Server, objstore.Bucket) {
	server, err := s3server.Start(t.Context(), s3server.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey())
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey())
	client, err := s3store.New(t.Context(), s3store.Config{Endpoint: server.Endpoint(), Region: server.Region()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.CreateBucket(t.Context(), "given"); err != nil {
		t.Fatal(err)
	}
	bucket, err := client.Bucket(t.Context(), "given")
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"data/a", "data/b"} {
		body := bytes.NewReader(make([]byte, (i+1)*mib))
		if _, err := bucket.Put(t.Context(), key, body, body.Size(), objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	return server, bucket
}

// Objects that are given are read and left as they are; a given bucket gets back what it had.
func TestRunOnGivenBucket(t *testing.T) {
	server, bucket := given(t)
	opts := quick(t)
	opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
	opts.Workloads = []string{"sequential", "small-files"}
	for _, readOnly := range []bool{false, true} {
		if opts.ReadOnly = readOnly; readOnly {
			opts.Keys = []string{"data/a", "data/b"}
		}
		report, err := Run(t.Context(), opts)
		if err != nil || len(report.Rows) != 3 {
			t.Fatalf("read-only %v: %+v, %v", readOnly, report, err)
		}
	}
	for page, err := range bucket.List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 2 {
			t.Errorf("the bucket holds %v, %v", page.Entries, err)
		}
	}
}

// Objects that are given are read from a disk cache as well, those that are too few for a workload are not.
func TestRunOnGivenBucketFromDisk(t *testing.T) {
	server, _ := given(t)
	opts := quick(t)
	opts.Endpoint, opts.Region, opts.Bucket = server.Endpoint(), server.Region(), "given"
	opts.ReadOnly, opts.Keys, opts.Workloads = true, []string{"data/a", "data/b"}, []string{"disk-small-files", "disk-twice-cycle"}
	report, err := Run(t.Context(), opts)
	if err != nil || len(report.Rows) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Rows {
		if skipped := r.Workload == "disk-twice-cycle"; skipped != (r.Skipped != "") || skipped != (r.Mount == 0) {
			t.Errorf("%+v", r)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range []Options{
		{ReadOnly: true, Bucket: "b"},
		{Keys: []string{"k"}},
		{Size: -1},
		{Workloads: []string{"nonsense"}},
		{FirstByte: -1},
	} {
		if _, err := Run(t.Context(), bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

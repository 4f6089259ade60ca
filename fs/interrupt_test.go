package fs

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// TestKilledWhileWaiting: whatever a process waits for, it is gone within a second of a signal it has no handler for,
// and the mount goes on.
func TestKilledWhileWaiting(t *testing.T) {
	for _, test := range []struct{ name, stall, tool string }{
		{"page of a read", "GET", "cat large"},
		{"read with O_DIRECT", "GET", "dd iflag=direct bs=64k status=none if=large"},
		{"open, for the bytes", "GET", "cat small"},
		{"open, for the version", "HEAD", "cat cached"},
		{"lookup", "LIST", "cat small"},
		{"directory", "LIST", "ls ."},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			t.Run(test.name+" "+signal.String(), func(t *testing.T) {
				b := newFakeBucket()
				b.put("large", contentOf("large", 33<<20)) // too large to be fetched by open
				b.put("small", contentOf("small", 1<<20))
				b.put("cached", contentOf("cached", 1<<20))
				cfg, _ := testConfig(t, b)
				cfg.MetadataTTL = 0
				s, dir := mounted(t, cfg, MountOptions{})
				run(t, exec.Command("cat", filepath.Join(dir, "cached")))

				b.stall(test.stall)
				// Not by Cmd.Dir: the runtime stands still between fork and exec, and the child's chdir would wait for this
				// process.
				tool := exec.Command("sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir}, strings.Fields(test.tool)...)...)
				if err := tool.Start(); err != nil {
					t.Fatal(err)
				}
				<-b.reached
				ended := make(chan error, 1)
				go func() { ended <- tool.Wait() }()
				if err := tool.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				select {
				case <-ended:
					b.resume(test.stall)
				case <-time.After(10 * time.Second): // a second, on a machine that has time
					t.Error("still there after ten seconds")
					b.resume(test.stall)
					<-ended
				}
				run(t, exec.Command("cat", filepath.Join(dir, "small")))
				if n := s.Stats().Errors; n != 0 {
					t.Errorf("%d errors were logged", n)
				}
			})
		}
	}
}

// TestHandledSignalDoesNotDisturb: a signal with a handler, of those that arrive all the time, does not make a read or
// an open fail.
func TestHandledSignalDoesNotDisturb(t *testing.T) {
	b := newFakeBucket()
	b.put("small", contentOf("small", 1<<20))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	b.stall("GET")
	reader := start(t, child("raw-read", filepath.Join(dir, "small"), "open"))
	<-b.reached
	for range 10 {
		if err := reader.cmd.Process.Signal(syscall.SIGURG); err != nil { // Go has a handler for it
			t.Fatal(err)
		}
	}
	b.resume("GET")
	reader.finish(t)
}

// TestSignalsOfThreads judges what /proc says.
func TestSignalsOfThreads(t *testing.T) {
	set := setOf
	for _, test := range []struct {
		name  string
		masks signalMasks
		want  signalState
	}{
		{"none", signalMasks{}, signalsHarmless},
		{"killed", signalMasks{pending: set(syscall.SIGKILL)}, signalsFatal},
		{"term", signalMasks{pending: set(syscall.SIGTERM)}, signalsFatal},
		{"term, ignored", signalMasks{pending: set(syscall.SIGTERM), ignored: set(syscall.SIGTERM)}, signalsHarmless},
		{"term, blocked", signalMasks{pending: set(syscall.SIGTERM), blocked: set(syscall.SIGTERM)}, signalsHarmless},
		{"int, handled", signalMasks{pending: set(syscall.SIGINT), caught: set(syscall.SIGINT)}, signalsStop},
		{"alarm, handled", signalMasks{pending: set(syscall.SIGALRM), caught: set(syscall.SIGALRM)}, signalsHarmless},
		{"alarm", signalMasks{pending: set(syscall.SIGALRM)}, signalsFatal},
		{"child", signalMasks{pending: set(syscall.SIGCHLD)}, signalsHarmless},
		{"abort", signalMasks{pending: set(syscall.SIGABRT)}, signalsFatal},
		{"handled and killed", signalMasks{pending: set(syscall.SIGUSR1, syscall.SIGKILL), caught: set(syscall.SIGUSR1)}, signalsFatal},
	} {
		if got := test.masks.state(); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestParseSignals reads the lines it needs among others.
func TestParseSignals(t *testing.T) {
	const status = "Name:\tcat\nSigQ:\t0/31428\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000004000\nSigBlk:\t0000000000010000\n" +
		"SigIgn:\t0000000000001000\nSigCgt:\t0000000180000002\nCapInh:\t0000000000000000\n"
	got, ok := parseSignals([]byte(status))
	want := signalMasks{pending: 0x4100, blocked: 0x10000, ignored: 0x1000, caught: 0x180000002}
	if !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := parseSignals([]byte(strings.Replace(status, "SigCgt", "Sig", 1))); ok {
		t.Error("a line is missing and nobody noticed")
	}
	if threadSignals(0) != signalsFatal {
		t.Error("a caller that cannot be seen must not be left waiting")
	}
	if threadSignals(uint32(syscall.Getpid())) == signalsFatal {
		t.Error("this process is taken for dying")
	}
}

// TestReplacedObject: an open file keeps its version and fails rather than mix; whoever opens the name then sees the
// new version, through pages that are its own.
func TestReplacedObject(t *testing.T) {
	b := newFakeBucket()
	b.put("large", contentOf("one", 33<<20))
	b.put("small", contentOf("one", 100))
	cfg, source := testConfig(t, b)
	cfg.MetadataTTL = 0
	_, dir := mounted(t, cfg, MountOptions{})
	path := filepath.Join(dir, "large")
	run(t, exec.Command("cat", filepath.Join(dir, "small")))

	reader := start(t, child("open", path))
	holder := start(t, child("reopen", path))
	b.put("large", contentOf("two", 34<<20))
	b.put("small", contentOf("two", 200))
	if got := lastLine(t, reader); !strings.Contains(got, "stale") {
		t.Errorf("reading a version that is gone: %q", got)
	}
	if got := lastLine(t, holder); got != "34603008 35651584 35651584" {
		t.Errorf("fstat, stat and read of the new version: %q", got)
	}
	if got := run(t, exec.Command("cat", filepath.Join(dir, "small"))); got != string(contentOf("two", 200)) {
		t.Errorf("the new version of a small file: %d bytes %.40q", len(got), got)
	}
	if got := run(t, exec.Command("stat", "-c", "%s", filepath.Join(dir, "small"))); got != "200\n" {
		t.Errorf("its size: %q", got)
	}
	b.remove("large")
	if out, err := exec.Command("stat", path).CombinedOutput(); err == nil || !strings.Contains(string(out), "No such file") {
		t.Errorf("stat of what was deleted: %s", out)
	}
	for v := range source.held {
		if v.Key == "large" && v.Size != 34<<20 {
			t.Errorf("read %v after it was replaced", v)
		}
	}
}

// TestDeletedWhileOpen: what is not here any more is ESTALE, what is here stays readable.
func TestDeletedWhileOpen(t *testing.T) {
	b := newFakeBucket()
	b.put("large", contentOf("one", 33<<20))
	b.put("read", contentOf("one", 33<<20))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	run(t, exec.Command("cat", filepath.Join(dir, "read")))
	gone, here := start(t, child("open", filepath.Join(dir, "large"))), start(t, child("open", filepath.Join(dir, "read")))
	b.remove("large")
	b.remove("read")
	if got := lastLine(t, gone); !strings.Contains(got, "stale") {
		t.Errorf("reading what was deleted: %q", got)
	}
	if got := lastLine(t, here); len(got) != 64 {
		t.Errorf("reading what was read before: %q", got)
	}
}

// lastLine lets a child go on and returns what it prints.
func lastLine(t *testing.T, s *started) string {
	t.Helper()
	_ = s.in.Close()
	var b strings.Builder
	buf := make([]byte, 1000)
	for {
		n, err := s.out.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v: %v", s.cmd.Args, err)
	}
	return strings.TrimSpace(b.String())
}

// TestStoreFails: what the store does not give is an errno, and the mount lives on.
func TestStoreFails(t *testing.T) {
	b := newFakeBucket()
	b.put("file", contentOf("file", 100))
	cfg, source := testConfig(t, b)
	source.store = refusing{b}
	_, dir := mounted(t, cfg, MountOptions{})
	out, err := exec.Command("cat", filepath.Join(dir, "file")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("cat of what may not be read: %s", out)
	}
	run(t, exec.Command("ls", dir))
}

// refusing lets nobody read.
type refusing struct{ *fakeBucket }

func (r refusing) Open(ctx context.Context, v objstore.Version, _ objstore.Range) (io.ReadCloser, error) {
	return nil, r.failure("GetObject", v.Key, objstore.ErrArchived)
}

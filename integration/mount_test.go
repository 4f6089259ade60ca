package integration

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

const (
	// fuseType is what the kernel's table of mounts calls ours.
	fuseType = "fuse.headrace"
	// patience is for what should take milliseconds on an idle machine: generous, since the detector, the server and other
	// tests share two cores, and a disk whose journal may not go on for a while when gigabytes are written elsewhere.
	patience = 90 * time.Second
)

// mount is a running `headrace mount --foreground` and what it mounted. When the test ends it is unmounted, and
// everything it may have left behind fails the test.
type mount struct {
	t         *testing.T
	dir       string // where it is mounted
	endpoint  string // of its store
	temporary string // its TMPDIR
	cacheDir  string // where its disk cache is; "" for none
	metrics   string // its metrics socket
	logPath   string
	stderr    bytes.Buffer // read once the process has ended
	cmd       *exec.Cmd
	gone      chan struct{}         // closed when the process has ended
	provoked  slog.Level            // the worst level the log may have
	exitCode  int                   // what the process must end with
	says      string                // what its stderr must contain; "" for nothing at all
	files     map[string]int        // what the process had open when the mount was new
	inspect   func(lines []logLine) // looks at the log at the end; may be nil
}

// mountSpec is how to mount.
type mountSpec struct {
	source   string
	endpoint string
	flags    []string
	cacheDir string                 // where its disk cache is, whose data files it may keep open; "" for none
	binary   func() (string, error) // nil: the one with the race detector
	provoked slog.Level             // what the test provokes may be logged up to this level; INFO when zero

	environment []string // beside that of the tests
}

// mountBucket mounts the whole bucket straight from its server.
func mountBucket(t *testing.T, b *bucket, flags ...string) *mount {
	t.Helper()
	return startMount(t, mountSpec{source: b.source(), endpoint: b.server.Endpoint(), flags: flags})
}

// mountThrough mounts the whole bucket through the proxy, which sees each request that was called for, and no second
// GET for one that a stalling machine has wait.
func mountThrough(t *testing.T, b *bucket, p *proxy, flags ...string) *mount {
	t.Helper()
	flags = append([]string{"--hedge-budget", "0"}, flags...)
	return startMount(t, mountSpec{source: b.source(), endpoint: p.endpoint(), flags: flags})
}

// mountFaulty is mountThrough for tests that break things on purpose: warnings and errors may be logged.
func mountFaulty(t *testing.T, b *bucket, endpoint string, flags ...string) *mount {
	t.Helper()
	return startMount(t, mountSpec{source: b.source(), endpoint: endpoint, flags: flags, provoked: slog.LevelError})
}

// startMount returns when the mount answers.
func startMount(t *testing.T, spec mountSpec) *mount {
	t.Helper()
	build := spec.binary
	if build == nil {
		build = shared.raced
	}
	binary := must[string](t)(build())
	home := filepath.Join(shared.dir, shared.names("mount"))
	m := &mount{
		t: t, endpoint: spec.endpoint, dir: filepath.Join(home, "mnt"), temporary: filepath.Join(home, "tmp"), metrics: filepath.Join(home, "metrics"),
		logPath: filepath.Join(home, "log"), gone: make(chan struct{}), provoked: spec.provoked, cacheDir: spec.cacheDir,
	}
	for _, dir := range []string{m.dir, m.temporary} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{
		"mount", "--foreground", "--endpoint", spec.endpoint, "--log-file", m.logPath, "--log-format", "json",
		"--log-level", "info", "--metrics", "unix:" + m.metrics, spec.source, m.dir,
	}
	m.cmd = exec.Command(binary, append(args, spec.flags...)...)
	m.cmd.Env = append(append(os.Environ(), "TMPDIR="+m.temporary), spec.environment...)
	m.cmd.Stderr = &m.stderr
	if err := m.launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.cleanUp)
	m.awaitLive()
	m.files = m.openFiles()
	return m
}

// launch starts the daemon, which is told to end when this process does, a run that timed out included. The kernel ties
// that to the thread that starts it, so the thread is kept for as long as the daemon lives.
func (m *mount) launch() error {
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(m.gone)
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.cmd.Wait() // cleanUp looks at the outcome
		}
	}()
	return <-started
}

// awaitLive waits until the mount is in the kernel's table and its root answers.
func (m *mount) awaitLive() {
	m.t.Helper()
	live := holdsWithin(patience, func() bool {
		return isMounted(m.dir) || m.ended()
	})
	if !live || m.ended() {
		m.t.Fatalf("the mount did not come up; log:\n%s", m.rawLog())
	}
	if _, err := os.Stat(m.dir); err != nil {
		m.t.Fatalf("the root of the mount: %v", err)
	}
}

// path is the path of a file of the mount.
func (m *mount) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

func (m *mount) ended() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// stop sends the daemon SIGTERM, as at the end of every test. A test that wants to see the end itself calls it first.
func (m *mount) stop() {
	m.t.Helper()
	m.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-m.gone:
	case <-time.After(patience):
		m.t.Errorf("the daemon did not end on SIGTERM; log:\n%s", m.rawLog())
		m.destroy()
	}
}

// finish ends the daemon by a signal before the test ends, and takes a dead mount away.
func (m *mount) finish(sig syscall.Signal) {
	m.t.Helper()
	if sig != syscall.SIGKILL {
		m.stop()
		return
	}
	m.exitCode = -1
	m.cmd.Process.Kill()
	<-m.gone
	if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
		m.t.Error(err)
	}
}

// destroy takes down a daemon that hangs, with its stacks on stderr.
func (m *mount) destroy() {
	m.cmd.Process.Signal(syscall.SIGQUIT)
	if !holdsWithin(patience, m.ended) {
		m.cmd.Process.Kill()
		<-m.gone
	}
	unix.Unmount(m.dir, unix.MNT_DETACH)
}

// cleanUp ends the daemon and looks at what it leaves.
func (m *mount) cleanUp() {
	t := m.t
	if !m.ended() {
		if m.files != nil && isMounted(m.dir) {
			m.checkOpenFiles()
		}
		m.stop()
	}
	if code := m.cmd.ProcessState.ExitCode(); code != m.exitCode {
		t.Errorf("the daemon ended with %v, should be exit code %d", m.cmd.ProcessState, m.exitCode)
	}
	if text := m.stderr.String(); m.says == "" && text != "" || !strings.Contains(text, m.says) {
		t.Errorf("the daemon wrote to stderr:\n%s", text)
	}
	if isMounted(m.dir) {
		t.Errorf("%s is still mounted", m.dir)
		unix.Unmount(m.dir, unix.MNT_DETACH)
	}
	if err := syscall.Kill(-m.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("the daemon left a process in its group")
	}
	if left, _ := os.ReadDir(m.temporary); len(left) > 0 {
		t.Errorf("the daemon left temporary files: %v", left)
	}
	m.checkLog()
}

// checkOpenFiles fails the test when the daemon holds files it did not hold at the start. Sockets and pipes are pooled
// and go with the process; files are not.
func (m *mount) checkOpenFiles() {
	var left []string
	closed := holdsWithin(patience, func() bool {
		left = nil
		for name, count := range m.openFiles() {
			if count > m.files[name] {
				left = append(left, name)
			}
		}
		return len(left) == 0
	})
	if !closed {
		m.t.Errorf("the daemon has these files open: %q; what is under way:\n%s", left, m.underWay(left))
		return
	}
	var counts map[string]float64
	closed = holdsWithin(patience, func() bool {
		counts = m.counters("headrace_fs_open_files", "headrace_fs_open_directories", "headrace_fs_locked_paths")
		return maps.Equal(counts, map[string]float64{"headrace_fs_open_files": 0, "headrace_fs_open_directories": 0, "headrace_fs_locked_paths": 0})
	})
	if !closed {
		m.t.Errorf("all was closed, but the daemon counts %v", counts)
	}
}

// underWay ends the daemon with a SIGQUIT, on which it writes what its goroutines do, and returns what concerns files
// that are written, and the logs among those that are open.
func (m *mount) underWay(open []string) string {
	m.destroy()
	var concerned []string
	for _, path := range open {
		if content, err := os.ReadFile(path); err == nil && strings.HasSuffix(path, ".log") {
			concerned = append(concerned, path+":\n"+string(content))
		}
	}
	for _, stack := range strings.Split(m.stderr.String(), "\n\n") {
		if strings.Contains(stack, "headrace/upload") || strings.Contains(stack, "headrace/cache.(*Cache).remember") {
			concerned = append(concerned, stack)
		}
	}
	return strings.Join(concerned, "\n\n")
}

// openFiles counts the daemon's open files by name, but for those of the kernel, which the runtime opens and closes
// when it likes.
func (m *mount) openFiles() map[string]int {
	dir := fmt.Sprintf("/proc/%d/fd", m.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	files := make(map[string]int)
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if m.cacheDir != "" && strings.HasPrefix(target, m.cacheDir) {
			continue // data files stay open for a while, as many as it says
		}
		if err == nil && strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/") {
			files[target]++
		}
	}
	return files
}

// isMounted tells whether dir is one of our mounts, from the kernel's table and without touching dir.
func isMounted(dir string) bool {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(dir))
	return err == nil && slices.ContainsFunc(found, func(i *mountinfo.Info) bool { return i.FSType == fuseType })
}

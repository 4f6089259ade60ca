package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// `headrace mount` returns when the mount answers, and not before; the process in the background keeps it.
//
// The process of a mount that can be written to has ended when `headrace umount` returns.
func TestBackground(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "content")
	dir := newMountpoint(t)
	// Flags may stand before the arguments, after them, and in the environment.
	cmd := exec.Command(must[string](t)(shared.raced()), "mount", "--metadata-ttl", "5s", b.source(), dir, "--log-file", dir+".log")
	cmd.Env = append(os.Environ(), "HEADRACE_ENDPOINT="+b.server.Endpoint())
	command := start(t, cmd)
	command.await(patience)
	if code := cmd.ProcessState.ExitCode(); code != 0 || command.stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, command.stderr.String())
	}
	if !isMounted(dir) {
		t.Error("the command returned before the mount was there")
	}
	if content, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(content) != "content" {
		t.Errorf("the file holds %q, %v", content, err)
	}
	daemons := processesWith(dir)
	if len(daemons) != 1 {
		t.Fatalf("%d processes serve the mount", len(daemons))
	}
	// The plain binary: one with the race detector takes a second to end, as the daemon does.
	if said, err := exec.Command(must[string](t)(shared.plain()), "umount", dir).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("umount: %v: %s", err, said)
	}
	if isMounted(dir) {
		t.Error("still mounted after umount")
	}
	if n := len(processesWith(dir)); n > 0 { // a mount that follows would find in use what it has not closed yet
		t.Errorf("umount returned while %d processes served what is not there any more", n)
	}
	if log := string(must[[]byte](t)(os.ReadFile(dir + ".log"))); strings.Contains(log, "DATA RACE") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}

// SIGTERM and SIGINT unmount and end the process with exit code 0.
func TestSignalsUnmount(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("object", 1, 3*chunk)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		m := mountBucket(t, b)
		if _, err := hashFile("read", m.path("object")); err != nil {
			t.Fatal(err)
		}
		m.cmd.Process.Signal(sig)
		eventually(t, patience, "the daemon to end", m.ended)
		if code := m.cmd.ProcessState.ExitCode(); code != 0 || isMounted(m.dir) {
			t.Errorf("%v: %v, mounted: %v", sig, m.cmd.ProcessState, isMounted(m.dir))
		}
	}
}

// A mount in use that gets a signal waits 10 seconds for its users, names them in the log, and then is taken away from
// them; the exit code is 8.
func TestSignalWhileInUse(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("object", 1, 3*chunk)
	m := mountFaulty(t, b, b.server.Endpoint())
	m.exitCode, m.says = 8, "was in use"
	user := holdOpen(t, m.path("object"))
	begun := time.Now()
	m.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 2*patience, "the daemon to end", m.ended)
	if took := time.Since(begun); took < 9*time.Second {
		t.Errorf("its user was given only %v", took)
	}
	m.inspect = func(lines []logLine) {
		if !anyLine(lines, fmt.Sprintf("pid %d", user.cmd.Process.Pid)) {
			t.Error("the log does not name the process that used the mount")
		}
	}
}

// `headrace umount` of a mount in use fails, says who uses it, and leaves it working.
func TestUmountBusy(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/file", "content")
	m := mountBucket(t, b)
	user := holdOpen(t, m.path("dir", "file"))
	code, stderr := headrace(t, "umount", m.dir)
	if code != 8 || !isOneLine(stderr) || !strings.Contains(stderr, fmt.Sprintf("pid %d", user.cmd.Process.Pid)) {
		t.Errorf("exit code %d, should be 8; it says %q, should name process %d in one line", code, stderr, user.cmd.Process.Pid)
	}
	if got := m.read("dir", "file"); got != "content" {
		t.Errorf("afterwards the file holds %q", got)
	}
}

// `headrace umount --lazy` takes a mount in use out of the tree at once; what was open stays readable until it is
// closed, and then the process ends.
func TestUmountLazy(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 5*chunk)
	m := mountBucket(t, b, "--memory", "32MiB")
	f := m.open("object")
	readFirst(t, f, o)
	if code, stderr := headrace(t, "umount", "--lazy", m.dir); code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if isMounted(m.dir) {
		t.Error("still in the tree")
	}
	if m.ended() {
		t.Fatal("the daemon ended while a file was open")
	}
	buf := make([]byte, 4*chunk)
	if _, err := f.ReadAt(buf, chunk); err != nil {
		t.Error(err)
	} else if err := o.check(buf, chunk); err != nil {
		t.Error(err)
	}
	f.Close()
	eventually(t, patience, "the daemon to end after the last close", m.ended)
}

// `headrace umount` removes the mount a killed daemon left behind.
func TestUmountDead(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "x")
	m := mountBucket(t, b)
	m.exitCode = -1
	f := m.open("file")
	m.cmd.Process.Kill()
	eventually(t, patience, "the daemon to be gone", m.ended)
	if _, err := f.ReadAt(make([]byte, 1), 0); !isErrno(err, syscall.ENOTCONN) {
		t.Errorf("reading an open file of a dead mount: %v, should be ENOTCONN", err)
	}
	f.Close()
	if _, err := os.Open(m.dir); !isErrno(err, syscall.ENOTCONN) {
		t.Errorf("the dead mount: %v, should be ENOTCONN", err)
	}
	// Mounting there says what to do.
	code, stderr := headrace(t, "mount", b.source(), m.dir, "--endpoint", b.server.Endpoint())
	if code != 3 || !isOneLine(stderr) || !strings.Contains(stderr, "headrace umount") {
		t.Errorf("mount over it: exit code %d: %s", code, stderr)
	}
	if code, stderr := headrace(t, "umount", m.dir); code != 0 || stderr != "" {
		t.Errorf("umount: exit code %d: %s", code, stderr)
	}
	checkNames(t, must[[]string](t)(readNames(m.dir)))
}

// `headrace demo DIR` serves, mounts and shows a small dataset, and takes everything down when it is interrupted.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := newMountpoint(t)
	temporary := dir + "-tmp"
	if err := os.Mkdir(temporary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(must[string](t)(shared.raced()), "demo", dir)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	demo := start(t, cmd)
	eventually(t, 2*patience, "the demo to mount", func() bool { return isMounted(dir) || demo.ended() })
	if demo.ended() {
		t.Fatalf("%v: %s", cmd.ProcessState, demo.stderr.String())
	}
	files, bytes := 0, int64(0)
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		n, err := copyToNowhere(path)
		files, bytes = files+1, bytes+n
		return err
	})
	if err != nil || files < 10 || bytes < mib {
		t.Errorf("the demo shows %d files with %d bytes, %v", files, bytes, err)
	}
	cmd.Process.Signal(syscall.SIGINT)
	demo.await(patience)
	if code := cmd.ProcessState.ExitCode(); code != 0 || demo.stderr.Len() > 0 {
		t.Errorf("exit code %d: %s", code, demo.stderr.String())
	}
	if !strings.Contains(demo.stdout.String(), "ls -l "+dir) {
		t.Errorf("it does not say what to try: %s", demo.stdout.String())
	}
	if isMounted(dir) || len(processesWith(temporary)) > 0 {
		t.Error("the mount or the server is still there")
	}
	if left, _ := os.ReadDir(temporary); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// newMountpoint makes an empty directory that nobody else uses.
func newMountpoint(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(shared.dir, shared.names("mountpoint"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// holdOpen runs a program that has a file open until the end of the test, and returns when it has.
func holdOpen(t *testing.T, path string) *program {
	t.Helper()
	cmd := exec.Command("sh", "-c", `exec 3<"$0"; echo open >&2; exec sleep 1000`, path)
	cmd.Dir = "/"
	said := must[io.ReadCloser](t)(cmd.StderrPipe())
	p := start(t, cmd)
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return p
}

// processesWith lists the processes that have text on their command line, this one aside.
func processesWith(text string) []int {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range lines {
		line, err := os.ReadFile(path)
		var pid int
		fmt.Sscanf(path, "/proc/%d/", &pid)
		if err == nil && pid != os.Getpid() && strings.Contains(string(line), text) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func copyToNowhere(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(io.Discard, f)
}

// isOneLine tells whether text is one line of a length that can be read.
func isOneLine(text string) bool {
	return strings.Count(text, "\n") == 1 && strings.HasSuffix(text, "\n") && len(text) < 400
}

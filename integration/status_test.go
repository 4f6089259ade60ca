package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// `headrace status` tells what a mount has done, and of one that is stopped, within seconds, that it does not answer.
// `headrace top` tells what it does.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put("file", 1, 100<<10)
	m := startMount(t, mountSpec{source: b.source(), endpoint: b.server.Endpoint(), flags: []string{"--read-only"}})
	if got := len(m.read("file")); got != 100<<10 {
		t.Fatalf("%d bytes are read", got)
	}
	run := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		p := start(t, exec.Command(must[string](t)(shared.raced()), args...))
		p.await(2 * patience)
		return p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()
	}
	var status struct {
		Mountpoint, Source, Endpoint string
		PID                          int
		ReadOnly                     bool  `json:"read_only"`
		Read                         int64 `json:"read_bytes"`
		Fetched                      int64 `json:"fetched_bytes"`
	}
	code, stdout, stderr := run("status", "--json", m.dir)
	if err := json.Unmarshal([]byte(stdout), &status); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %v: %q, %q", code, err, stdout, stderr)
	}
	if status.Mountpoint != m.dir || status.Source != b.source() || status.Endpoint != b.server.Endpoint() || status.PID != m.cmd.Process.Pid || !status.ReadOnly || status.Read != 100<<10 || status.Fetched != 100<<10 {
		t.Errorf("%+v", status)
	}
	if code, stdout, stderr := run("status"); !strings.Contains(stdout, m.dir+"  "+b.source()+", at "+b.server.Endpoint()+", read-only") {
		t.Errorf("of all: exit code %d: %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := run("top", "--rounds", "2", "--interval", "10ms", m.dir); code != 0 || stderr != "" || strings.Count(stdout, m.dir) != 2 {
		t.Errorf("top: exit code %d: %q, %q", code, stdout, stderr)
	}
	if code, _, stderr := run("status", "/nothing/there"); code != 10 || !strings.Contains(stderr, "/nothing/there: no such file") {
		t.Errorf("of what is no mount: exit code %d: %q", code, stderr)
	}
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer m.cmd.Process.Signal(syscall.SIGCONT)
	if code, stdout, stderr := run("status", m.dir); code != 10 || !strings.Contains(stdout, "does not answer") || !strings.Contains(stderr, m.dir) {
		t.Errorf("of a stopped one: exit code %d: %q, %q", code, stdout, stderr)
	}
}

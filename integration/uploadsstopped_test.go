package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// `headrace uploads` answers though a mount's process is stopped, says which one it is, and shows what that has not
// stored where it was told to look. No process may have a file of the mount open then: the kernel would have it wait
// for the mount when it closes that.
func TestUploadsOfAStoppedMount(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	s := newStaged(t, b)
	m := s.mount(b, p.endpoint(), "--write-back")
	p.inject(&fault{changes: true, act: hold()})
	if err := os.WriteFile(m.path("waits"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer m.cmd.Process.Signal(syscall.SIGCONT)

	code, stdout, stderr := s.uploads("ls", "--json")
	var one unstored
	if err := json.Unmarshal([]byte(stdout), &one); err != nil || one.Key != "waits" || !one.Mounted {
		t.Errorf("what waits is not shown: %q, %v", stdout, err)
	}
	if code != 11 || !strings.Contains(stderr, m.dir) || !strings.Contains(stderr, "does not answer") {
		t.Errorf("exit code %d: %q", code, stderr)
	}
	if code, _, stderr := s.uploads("retry", one.ID); code == 0 || !strings.Contains(stderr, "does not answer") {
		t.Errorf("retry: exit code %d: %q", code, stderr)
	}
	cmd := exec.Command(must[string](t)(shared.raced()), "uploads", "ls")
	cmd.Env = append(os.Environ(), "HEADRACE_STAGING_DIR=") // of all mounts that run
	all := start(t, cmd)
	all.await(2 * patience)
	if said := all.stderr.String(); all.cmd.ProcessState.ExitCode() != 11 || !strings.Contains(said, m.dir) || !strings.Contains(said, "does not answer") || strings.Contains(said, "everything is stored") {
		t.Errorf("of all: exit code %d: %q", all.cmd.ProcessState.ExitCode(), said)
	}
	if code, stderr := headrace(t, "umount", m.dir); code != 8 || !strings.Contains(stderr, "does not answer") {
		t.Errorf("umount: exit code %d: %q", code, stderr)
	}

	if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.heal()
	eventually(t, patience, "it to be stored", func() bool { return string(b.stored("waits")) == "content" })
}

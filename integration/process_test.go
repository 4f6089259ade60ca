package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell runs a script with $MNT as the mount, outside of the mount, and returns what it printed. It fails the test when
// the script fails or prints to stderr.
func (m *mount) shell(script string) string {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := m.command(script)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		m.t.Fatalf("%s\n%v: %s", script, err, stderr.String())
	}
	return stdout.String()
}

// command is a script with $MNT as the mount.
func (m *mount) command(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = filepath.Dir(m.dir)
	cmd.Env = append(os.Environ(), "MNT="+m.dir, "LC_ALL=C")
	return cmd
}

// python runs a script with sys.argv[1] as the mount and returns what it printed, without the newline at the end.
func (m *mount) python(script string, args ...string) string {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("python3", append([]string{"-c", script, m.dir}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s\n%v: %s", script, err, stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n")
}

// open opens a file of the mount until the end of the test.
func (m *mount) open(elem ...string) *os.File {
	m.t.Helper()
	f := must[*os.File](m.t)(os.Open(m.path(elem...)))
	m.t.Cleanup(func() { f.Close() })
	return f
}

// write writes a file whole, as a program does.
func (m *mount) write(content string, elem ...string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(elem...), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// openFile opens a file for reading and writing until the end of the test.
func (m *mount) openFile(flags int, elem ...string) *os.File {
	m.t.Helper()
	f := must[*os.File](m.t)(os.OpenFile(m.path(elem...), flags, 0o644))
	m.t.Cleanup(func() { f.Close() })
	return f
}

// names lists a directory in the order of the listing.
func (m *mount) names(elem ...string) []string {
	m.t.Helper()
	d := must[*os.File](m.t)(os.Open(m.path(elem...)))
	defer d.Close()
	return must[[]string](m.t)(d.Readdirnames(-1))
}

// read returns a whole file.
func (m *mount) read(elem ...string) string {
	m.t.Helper()
	return string(must[[]byte](m.t)(os.ReadFile(m.path(elem...))))
}

// program is a program that was started and not yet waited for.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	gone   chan struct{}
	stdout bytes.Buffer // read once it is gone
	stderr bytes.Buffer
}

// start runs a program until the test ends, at the latest.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, gone: make(chan struct{})}
	cmd.Stdout = &p.stdout
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		cmd.Wait() // ProcessState is looked at where it matters
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.gone
	})
	return p
}

// ended tells whether the program has ended.
func (p *program) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// await waits for the program's end.
func (p *program) await(within time.Duration) {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(within):
		p.t.Fatalf("%v did not end within %v", p.cmd.Args, within)
	}
}

// headrace runs the binary to its end and returns its exit code and what it wrote to stderr.
func headrace(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	p := start(t, exec.Command(must[string](t)(shared.raced()), args...))
	p.await(2 * patience)
	return p.cmd.ProcessState.ExitCode(), p.stderr.String()
}

package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refusal is a mount that must not come about.
type refusal struct {
	name string
	args []string // after "mount"; the endpoint and the log are given unless they are among them
	env  []string // beside the environment of all tests
	code int      // the exit code
	says string   // what the line must tell, in the user's terms
}

// What prevents a mount is said in one line on stderr that tells what to do, with an exit code that tells what it was,
// and leaves nothing behind.
func TestMountRefusals(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("file", "x")
	p := newProxy(t, b.server.Endpoint())
	empty, full := newMountpoint(t), newMountpoint(t)
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mounted := mountBucket(t, b)
	source := b.source()
	for _, r := range []refusal{
		{name: "no such bucket", args: []string{"s3://" + b.name + "-missing", empty}, code: 5, says: b.name + "-missing"},
		{name: "wrong secret", args: []string{source, empty}, env: []string{"AWS_SECRET_ACCESS_KEY=wrong"}, code: 6, says: "credentials"},
		{name: "no credentials", args: []string{source, empty}, env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, code: 6, says: "AWS_ACCESS_KEY_ID"},
		{name: "nobody listens", args: []string{source, empty, "--endpoint", "http://127.0.0.1:1"}, code: 7, says: "127.0.0.1:1"},
		{name: "no such host", args: []string{source, empty, "--endpoint", "http://store.invalid"}, code: 7, says: "store.invalid"},
		{name: "not empty", args: []string{source, full}, code: 3, says: "not empty"},
		{name: "no directory", args: []string{source, empty + "/missing"}, code: 3, says: "mkdir"},
		{name: "a file", args: []string{source, full + "/mine"}, code: 3, says: "not a directory"},
		{name: "mounted already", args: []string{source, mounted.dir}, code: 3, says: "headrace umount"},
		{name: "no bucket's URL", args: []string{b.name, empty}, code: 2, says: "s3://"},
		{name: "unknown flag", args: []string{source, empty, "--no-such-flag"}, code: 2, says: "no-such-flag"},
		{name: "bad size", args: []string{source, empty, "--memory", "lots"}, code: 2, says: "lots"},
		{name: "bad size in the environment", args: []string{source, empty}, env: []string{"HEADRACE_MEMORY=lots"}, code: 2, says: "HEADRACE_MEMORY"},
		{name: "neither on nor off", args: []string{source, empty}, env: []string{"HEADRACE_READ_ONLY=maybe"}, code: 2, says: "true or false"},
		{name: "no number of a user", args: []string{source, empty, "--uid", "nobody"}, code: 2, says: "number of a user"},
		{name: "unknown flag before", args: []string{"--no-such-flag=1", source, empty}, code: 2, says: "no-such-flag"},
		{name: "no such profile", args: []string{source, empty, "--profile", "trainig"}, code: 6, says: `no profile "trainig"`},
		{name: "no such bucket among those named", args: []string{"s3://", empty, "--bucket", b.name, "--bucket", b.name + "-missing"}, code: 5, says: b.name + "-missing"},
		{name: "too little memory", args: []string{source, empty, "--memory", "1MiB"}, code: 2, says: "32MiB"},
		{name: "one argument", args: []string{source}, code: 2, says: "mount"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.check(t, p.endpoint(), empty)
		})
	}
}

// TestStoreRefusals are refusals that a real server gives only to the real culprit: by the proxy, to everybody.
func TestStoreRefusals(t *testing.T) {
	t.Parallel()
	for code, says := range map[string]string{"AccessDenied": "denies", "RequestTimeTooSkewed": "clock", "ExpiredToken": "expired"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			p := newProxy(t, b.server.Endpoint())
			p.inject(&fault{act: answer(http.StatusForbidden, code)})
			dir := newMountpoint(t)
			refusal{args: []string{b.source(), dir}, code: 6, says: says}.check(t, p.endpoint(), dir)
		})
	}
}

// TestStoreNeverAnswers mounts from a store that takes requests and gives no answer.
func TestStoreNeverAnswers(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	p.inject(&fault{act: hold()})
	dir := newMountpoint(t)
	begun := time.Now()
	refusal{args: []string{b.source(), dir}, code: 7, says: "did not answer"}.check(t, p.endpoint(), dir)
	patient := time.Since(begun)

	// And nobody needs to wait for that.
	asked := p.count("")
	impatient := start(t, exec.Command(must[string](t)(shared.raced()), "mount", b.source(), dir, "--endpoint", p.endpoint()))
	eventually(t, patience, "the store to be asked", func() bool { return p.count("") > asked })
	begun = time.Now()
	impatient.cmd.Process.Signal(syscall.SIGINT)
	impatient.await(patience)
	if took := time.Since(begun); took > patient/2 || impatient.cmd.ProcessState.Success() || !isOneLine(impatient.stderr.String()) {
		t.Errorf("%v after %v: %s", impatient.cmd.ProcessState, took, impatient.stderr.String())
	}
	if isMounted(dir) || len(processesWith(dir)) > 0 {
		t.Error("something was left behind")
	}
}

// TestNoFUSE mounts where there is no /dev/fuse, as in a container without it.
func TestNoFUSE(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	dir := newMountpoint(t)
	binary := must[string](t)(shared.raced())
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs none /dev && exec "$@"`, "sh",
		binary, "mount", b.source(), dir, "--endpoint", b.server.Endpoint())
	p := start(t, cmd)
	p.await(patience)
	text := p.stderr.String()
	if code := cmd.ProcessState.ExitCode(); code != 4 || !isOneLine(text) || !strings.Contains(text, "/dev/fuse") {
		t.Errorf("exit code %d: %s", code, text)
	}
}

// check tries to mount, in the background and in the foreground.
func (r refusal) check(t *testing.T, endpoint, dir string) {
	t.Helper()
	for _, foreground := range []bool{false, true} {
		args := append([]string{"mount"}, r.args...)
		if !strings.Contains(strings.Join(args, " "), "--endpoint") {
			args = append(args, "--endpoint", endpoint)
		}
		if foreground {
			// Its log is not what is looked at here.
			args = append(args, "--foreground", "--log-file", filepath.Join(shared.dir, shared.names("refused")))
		}
		cmd := exec.Command(must[string](t)(shared.raced()), args...)
		cmd.Env = append(os.Environ(), r.env...)
		p := start(t, cmd)
		p.await(2 * patience)
		text := p.stderr.String()
		if code := cmd.ProcessState.ExitCode(); code != r.code {
			t.Errorf("exit code %d, should be %d", code, r.code)
		}
		if !isOneLine(text) || !strings.Contains(text, r.says) {
			t.Errorf("it says %q, should tell of %q in one line", text, r.says)
		}
		if isMounted(dir) {
			t.Errorf("%s is mounted", dir)
		}
		if strings.Contains(text, secretKey) {
			t.Errorf("the line tells the secret: %s", text)
		}
	}
}

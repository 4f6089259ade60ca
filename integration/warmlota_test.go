package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore/cwsim"
)

const large = cwsim.LargestUncached + 1

// `headrace warm --lota` has LOTA fetch large objects, by one request each that brings no bytes here, and nothing
// small.
func TestWarmLota(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	var keys []string
	for i := range 5 {
		keys = append(keys, fmt.Sprint("set/", i))
		l.put(keys[i], large)
	}
	l.put("set/small", large-1)
	l.put("settle", large)
	m := l.mount("http://cwlota.com", "--read-only")

	before := len(l.Requests())
	if got := l.run(0, "", "warm", "--lota", "--dry-run", m.path("set")); !strings.Contains(got, "would ask LOTA for 5 objects") || len(l.keys(before, prestages)) > 0 {
		t.Errorf("dry run: %s", got)
	}
	// A mount says how its store is reached; only its directory is named.
	if got := l.run(0, "", "warm", "--lota", m.path("set")); !strings.Contains(got, "asked LOTA for 5 objects, 19 MiB") || !strings.Contains(got, "left out 1 of 4 MB") {
		t.Errorf("warm --lota: %s", got)
	}
	if got := l.keys(before, prestages); !slices.Equal(got, keys) {
		t.Errorf("asked for %q", got)
	}
	if got := l.keys(before, reads); slices.ContainsFunc(got, func(key string) bool { return key != "set" }) { // what a HEAD of a prefix means is asked by a GET
		t.Errorf("read %q", got)
	}
	for _, key := range keys {
		if !l.Resident(lotaBucket, key) {
			t.Errorf("LOTA does not hold %s", key)
		}
	}
	// Without a mount, by URL and from a list.
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("s3://"+lotaBucket+"/settle\ns3://"+lotaBucket+"/missing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := l.run(10, "", "warm", "--lota", "--json", "--list", list, "--endpoint", "http://cwlota.com")
	var result struct {
		Lota   struct{ Objects, Small, Done int }
		Failed int
	}
	text, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(text), &result); err != nil || result.Lota.Objects != 1 || result.Failed != 1 {
		t.Errorf("a list: %s (%v)", out, err)
	}
	b := newBucket(t) // at an address, which is as good
	b.put("set/large", 1, large)
	if got := l.run(0, "", "warm", "--lota", "--endpoint", b.server.Endpoint(), b.source()); !strings.Contains(got, "asked LOTA for 1 objects") {
		t.Errorf("an endpoint that is an address: %s", got)
	}
	if got := l.run(2, "", "warm", "--verify", m.path("set")); !strings.Contains(got, "--lota") {
		t.Errorf("--verify alone: %s", got)
	}
	if got := l.run(2, "", "warm", "s3://"+lotaBucket+"/set"); !strings.Contains(got, "--lota") {
		t.Errorf("a URL without --lota: %s", got)
	}
}

// A run that failed for some goes on with those, and one that came to its end begins anew.
func TestWarmLotaGoesOn(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	for i := range 4 {
		l.put(fmt.Sprint("set/", i), large)
	}
	args := []string{"warm", "--lota", "--endpoint", "http://cwlota.com", "s3://" + lotaBucket + "/set", "s3://" + lotaBucket + "/missing"}
	l.run(10, "", args...)
	before := len(l.Requests())
	if got := l.run(10, "", args...); !strings.Contains(got, "asked LOTA for 0 objects") || !strings.Contains(got, "4 that it was asked for before") {
		t.Errorf("again: %s", got)
	}
	l.put("missing", large)
	l.put("set/1", large+1) // another version
	l.run(0, "", args...)
	if got := l.keys(before, prestages); !slices.Equal(got, []string{"missing", "set/1"}) {
		t.Errorf("asked again for %q", got)
	}
	before = len(l.Requests())
	l.run(0, "", args...)
	if got := l.keys(before, prestages); len(got) != 5 {
		t.Errorf("after a run that came to its end: asked for %q", got)
	}
}

// A run that is interrupted or killed goes on where it was, and Ctrl-C ends it at once with what it has done.
func TestWarmLotaInterrupted(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			const objects = 60
			l := newLota(t, cwsim.Options{})
			for i := range objects {
				l.put(fmt.Sprintf("set/%02d", i), large)
			}
			release := l.Hold(func(r cwsim.Request) bool { return prestages(r) && r.Key > "set/20" })
			args := []string{"warm", "--lota", "--endpoint", "http://cwlota.com", "--max-concurrency", "2", "s3://" + lotaBucket + "/set"}
			asked := func(after int) int { return len(l.keys(after, prestages)) }
			cmd := exec.Command(must[string](t)(shared.raced()), args...)
			cmd.Env = append(os.Environ(), l.environment...)
			run := start(t, cmd)
			eventually(t, patience, "some objects to be asked for", func() bool { return asked(0) >= 10 })
			if err := run.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			run.await(patience)
			release()
			first := asked(0)
			if first == objects {
				t.Fatal("it was through before it was told to end")
			}
			if code := run.cmd.ProcessState.ExitCode(); signal == syscall.SIGINT && (code != 10 || !strings.Contains(run.stdout.String(), "asked LOTA for")) {
				t.Errorf("interrupted: exit code %d: %s%s", code, run.stdout.String(), run.stderr.String())
			}
			before := len(l.Requests())
			out := l.run(0, "", args...)
			// Those that were under way when it ended may be asked for again.
			if again := asked(before); again < objects-first || again > objects-first+2 {
				t.Errorf("asked for %d, and then for %d of %d: %s", first, again, objects, out)
			}
		})
	}
}

// Names may come from standard input, also when they are gone through twice; what cannot be found is told once.
func TestWarmLotaFromStandardInput(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("one", large)
	l.put("two", large)
	names := "s3://" + lotaBucket + "/one\ns3://" + lotaBucket + "/missing\ns3://" + lotaBucket + "/two\n"
	for _, args := range [][]string{{"--list", "-"}, {"-"}, {"--verify", "--settle", "1ms", "--list", "-"}} {
		before := len(l.Requests())
		out := l.run(10, names, append([]string{"warm", "--lota", "--again", "--endpoint", "http://cwlota.com"}, args...)...)
		if got := l.keys(before, prestages); !slices.Equal(got, []string{"one", "two"}) || !strings.Contains(out, "1 failed") {
			t.Errorf("%q: asked for %q: %s", args, got, out)
		}
	}
}

// A list may be a pipe, as a shell's <(...) is, which only one reader gets: it is gone through as it comes, and kept
// where it is needed twice. Until its end it is not known how much there is, and the time left is not shown.
func TestWarmLotaFromPipe(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	for i := range 3 {
		l.put(fmt.Sprint("set/", i), large)
	}
	for _, flags := range [][]string{nil, {"--verify", "--settle", "1ms"}} {
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(l.Requests())
		screen := newTerminal(t)
		cmd := exec.Command(must[string](t)(shared.raced()), append([]string{"warm", "--lota", "--again", "--endpoint", "http://cwlota.com", "--list", pipe}, flags...)...)
		cmd.Env = append(os.Environ(), l.environment...)
		screen.start(cmd)
		var names *os.File
		eventually(t, patience, "the pipe to be read", func() (opened bool) {
			var err error
			names, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			return err == nil
		})
		if err := names.SetWriteDeadline(time.Now().Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		give := func(key string) { must[int](t)(fmt.Fprintf(names, "s3://%s/%s\n", lotaBucket, key)) }
		give("set/0")
		if flags == nil {
			eventually(t, patience, "a bar", func() bool {
				give("set/1")
				return strings.Contains(screen.text(), "objects")
			})
			if barShown.MatchString(screen.text()) {
				t.Errorf("a time left before all is named: %q", screen.text())
			}
		}
		give("set/2")
		names.Close()
		_ = cmd.Wait() // its code is looked at
		<-screen.over
		got := l.keys(before, prestages)
		if cmd.ProcessState.ExitCode() != 0 || len(got) == 0 || got[0] != "set/0" || got[len(got)-1] != "set/2" {
			t.Errorf("%q: exit code %d, asked for %q: %q", flags, cmd.ProcessState.ExitCode(), got, screen.text())
		}
	}
}

// --verify tells from first bytes what became resident; --both also fills the node's own cache.
func TestWarmLotaVerify(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{Miss: 200 * time.Millisecond})
	for i := range 40 {
		l.put(fmt.Sprintf("set/%02d", i), large)
	}
	out := l.run(0, "", "warm", "--lota", "--verify", "--settle", "10ms", "--endpoint", "http://cwlota.com", "s3://"+lotaBucket)
	var held int // a busy machine may take one that LOTA holds for one that it does not
	if _, about, ok := strings.Cut(out, "verify: LOTA holds about "); !ok || must[int](t)(fmt.Sscanf(about, "%d%%", &held)) != 1 || held < 75 {
		t.Errorf("verify: %s", out)
	}
	cache := filepath.Join(t.TempDir(), "cache")
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "http://cwlota.com", environment: l.environment, cacheDir: cache, flags: []string{"--read-only", "--cache-dir", cache},
	})
	out = l.run(0, "", "warm", "--both", m.path("set", "0*"))
	if !strings.Contains(out, "asked LOTA for 10 objects") || !strings.Contains(out, "read 10 files, 38 MiB; 0 were in the cache") {
		t.Errorf("both: %s", out)
	}
}

// Ctrl-C ends at once what waits for names of standard input, with what it has done until then.
func TestStandardInputInterrupted(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("one", large)
	for _, args := range [][]string{
		{"warm", "--lota", "--list", "-"}, {"warm", "--lota", "--list", "/dev/stdin"}, {"warm", "--lota", "--verify", "--settle", "1ms", "-"}, {"restripe", "-"}, {"replicate", "--copies", "1", "-"}, {"keys", "encode", "-"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			defer r.Close()
			cmd := exec.Command(must[string](t)(shared.raced()), args...)
			cmd.Env, cmd.Stdin = append(os.Environ(), append(l.environment, "HEADRACE_ENDPOINT=http://cwlota.com")...), r
			run := start(t, cmd)
			if _, err := io.WriteString(w, "s3://"+lotaBucket+"/one\n"); err != nil {
				t.Fatal(err)
			}
			eventually(t, patience, "the name to be read", func() bool { return unread(t, r) == 0 })
			if err := run.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			run.await(patience)
			if code := run.cmd.ProcessState.ExitCode(); code != 10 || !strings.Contains(run.stderr.String(), "interrupted") {
				t.Errorf("exit code %d: %s%s", code, run.stdout.String(), run.stderr.String())
			}
		})
	}
}

// unread is how many bytes are in a pipe.
func unread(t *testing.T, pipe *os.File) int {
	t.Helper()
	return must[int](t)(unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ))
}

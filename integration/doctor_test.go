package integration

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// `headrace doctor` looks at machine and store, one line a finding, and names large objects of one piece; nothing is
// written without --probe.
func TestDoctor(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("small", mib)
	must[objstore.Entry](t)(l.Bucket(lotaBucket).Put(t.Context(), "models/large", bytes.NewReader(make([]byte, 65*mib)), 65*mib, objstore.Condition{}, objstore.Attributes{}))
	out := l.run(13, "", "doctor", "s3://"+lotaBucket, "--endpoint", "auto", "--cache-dir", filepath.Join(t.TempDir(), "cache"), "--memory", "64MiB")
	for _, want := range []string{
		"fuse", "kernel", "requests", "readahead", "open files", "memory", "cache disk", "disk speed", "CoreWeave's node cache, answers in", "clock",
		"of EnvConfigCredentials, which does not expire", "training can be listed; its region is US-EAST-04A", "bucket training is in the host's name",
		"nobody has found out what this store can do", "s3://training/models/large, 65 MiB, is of one piece: `headrace restripe s3://training/models/large`",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	for _, r := range l.Requests() {
		if r.Method != "GET" && r.Method != "HEAD" {
			t.Errorf("wrote: %+v", r)
		}
	}
	m := l.mount("auto", "--read-only")
	if out := l.run(13, "", "doctor", m.path("models")); !strings.Contains(out, "large, 65 MiB, is of one piece") {
		t.Errorf("a directory: %s", out)
	}
	if out := l.run(14, "", "doctor", "s3://none", "--endpoint", "auto"); !strings.Contains(out, "there is no bucket none") {
		t.Errorf("no bucket: %s", out)
	}
	l.Down(cwsim.LotaHost, true)
	l.Down(cwsim.OriginHost, true)
	if out := l.run(14, "", "doctor", "--endpoint", "http://cwlota.com"); !strings.Contains(out, "cannot be reached") {
		t.Errorf("no store: %s", out)
	}
}

// Credentials that the store does not know, or not any more, are told to be refused, also where no bucket is named;
// those that may not list buckets are not.
func TestDoctorOfCredentials(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newBucket(t).server.Endpoint())
	for code, says := range map[string]string{"InvalidAccessKeyId": "error    credentials", "AccessDenied": "ok       credentials"} {
		p.heal()
		p.inject(&fault{act: answer(http.StatusForbidden, code)})
		out, _ := exec.Command(must[string](t)(shared.raced()), "doctor", "--endpoint", p.endpoint()).CombinedOutput()
		if !strings.Contains(string(out), says) {
			t.Errorf("%s: %s", code, out)
		}
	}
}

// --probe finds out what a store can do, by objects of its own that it removes, and is remembered.
func TestDoctorProbe(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("small", 5)
	args := []string{"doctor", "s3://" + lotaBucket, "--endpoint", "http://cwlota.com", "--memory", "64MiB"}
	said := func(out string) (can []string) {
		for line := range strings.Lines(out) {
			var f struct{ Check, Severity, Found string }
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if f.Check == "store can" && f.Severity == "ok" {
				can = append(can, f.Found)
			}
		}
		return can
	}
	probed := said(l.run(0, "", append(args, "--probe", "--json")...))
	if text := strings.Join(probed, "\n"); len(probed) != 11 || !strings.Contains(text, "RenameObject") || !strings.Contains(text, "checksums of what is sent") {
		t.Errorf("can: %q", probed)
	}
	before := len(l.Requests())
	if again := said(l.run(0, "", append(args, "--json")...)); len(again) != 11 {
		t.Errorf("remembered: %q", again)
	}
	for _, r := range l.Requests()[before:] {
		if strings.Contains(r.Key, ".headrace-probe-") {
			t.Errorf("probed again: %+v", r)
		}
	}
	for page, err := range l.Bucket(lotaBucket).List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 1 {
			t.Errorf("left: %+v, %v", page.Entries, err)
		}
	}
	// A real server, which has no rename.
	b := newBucket(t)
	b.put("object", 1, 5)
	cmd := exec.Command(must[string](t)(shared.raced()), "doctor", b.source(), "--probe", "--memory", "64MiB", "--endpoint", b.server.Endpoint())
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
	out, _ := cmd.CombinedOutput()
	if !strings.Contains(string(out), "store cannot RenameObject") || !strings.Contains(string(out), "conditional copy") || !strings.Contains(string(out), "conditional PUT of a new object (probed") {
		t.Errorf("versitygw: %s", out)
	}
	if left := must[[]string](t)(filepath.Glob(filepath.Join(b.server.Dir(), b.name, ".headrace*", "*"))); len(left) > 0 {
		t.Errorf("versitygw has left %q", left)
	}
	for _, args := range [][]string{{"doctor", "--probe"}, {"doctor", "--probe", "s3://"}} {
		if out := l.run(2, "", args...); !strings.Contains(out, "s3://BUCKET") {
			t.Errorf("--probe without a bucket: %s", out)
		}
	}
}

// A probe that is interrupted, or whose terminal is closed, removes what it has written.
func TestDoctorProbeInterrupted(t *testing.T) {
	t.Parallel()
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP) // or under nohup the commands would inherit that it is ignored, and leave it so
	t.Cleanup(func() { signal.Stop(heard) })
	for _, by := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			l := newLota(t, cwsim.Options{})
			l.Hold(func(r cwsim.Request) bool { return r.Method == "PUT" && strings.Contains(r.Query, "partNumber") })
			if code, output := interruptProbe(t, l, by); code != 10 {
				t.Errorf("exit code %d: %s", code, output)
			}
		})
	}
}

// interruptProbe sends a signal to a probe that waits for a part of an upload to be taken, and sees that nothing is
// left in the bucket.
func interruptProbe(t *testing.T, l *lota, by syscall.Signal) (code int, output string) {
	t.Helper()
	cmd := exec.Command(must[string](t)(shared.raced()), "doctor", "s3://"+lotaBucket, "--endpoint", "http://cwlota.com", "--memory", "64MiB", "--probe")
	cmd.Env = append(os.Environ(), l.environment...)
	run := start(t, cmd)
	eventually(t, patience, "an upload to be under way", func() bool {
		return run.ended() || slices.ContainsFunc(l.Requests(), func(r cwsim.Request) bool { return strings.Contains(r.Query, "partNumber") })
	})
	_ = run.cmd.Process.Signal(by) // if it has ended, its code says so
	run.await(patience)
	for page, err := range l.Bucket(lotaBucket).List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) > 0 {
			t.Errorf("left: %+v, %v", page.Entries, err)
		}
	}
	for u, err := range l.Bucket(lotaBucket).ListUploads(t.Context(), "") {
		t.Errorf("left an upload: %+v, %v", u, err)
	}
	return run.cmd.ProcessState.ExitCode(), run.stdout.String() + run.stderr.String()
}

// Each bucket, file and directory that is named is judged, and each store once.
func TestDoctorOfSeveral(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{Buckets: []cwsim.Bucket{{Name: lotaBucket}, {Name: "second"}, {Name: "third"}}})
	l.put("small", mib)
	m := startMount(t, mountSpec{source: "s3://third", endpoint: "http://cwlota.com", flags: []string{"--read-only"}, environment: l.environment})
	m.names()
	out := l.run(14, "", "doctor", "--endpoint", "http://cwobject.com", "--memory", "64MiB", "--probe", m.dir, "s3://none", "s3://"+lotaBucket, "s3://second/below", "s3://"+lotaBucket+"/small")
	for want, times := range map[string]int{
		"third can be listed": 1, "there is no bucket none": 2, "training can be listed": 1, "second can be listed": 1, "http://cwobject.com answers": 1,
		"s3://training: of 1": 1, "s3://training/small: of 1": 1, "RenameObject (probed": 1, "nobody has found out": 0,
	} {
		if got := strings.Count(out, want); got != times {
			t.Errorf("says %q %d times, should be %d:\n%s", want, got, times, out)
		}
	}
	for _, r := range l.Requests() {
		if r.Method == "PUT" && r.Bucket != lotaBucket {
			t.Errorf("probed where it was not asked to: %+v", r)
		}
	}
}

package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// `headrace uploads` finds what all mounts that run have not stored, wherever they keep it.
func TestUploadsOfAllMounts(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	mounts := map[string]*mount{}
	for _, name := range []string{"one", "two"} {
		m := newStaged(t, b).mount(b, b.server.Endpoint())
		f := m.openFile(os.O_CREATE|os.O_WRONLY, name)
		if _, err := f.WriteString(name); err != nil {
			t.Fatal(err)
		}
		mounts[name] = m
	}
	run := func(args ...string) (stdout string) {
		t.Helper()
		cmd := exec.Command(must[string](t)(shared.raced()), append([]string{"uploads"}, args...)...)
		cmd.Env = append(os.Environ(), "HEADRACE_STAGING_DIR=") // no place is said
		p := start(t, cmd)
		p.await(2 * patience)
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Fatalf("uploads %v: exit code %d: %s", args, code, p.stderr.String())
		}
		return p.stdout.String()
	}
	unstoredOf := func(text string) map[string]string { // other tests have theirs
		ids := map[string]string{}
		for line := range strings.Lines(text) {
			var one struct {
				ID, Bucket, Key, Mountpoint string
				Mounted                     bool
			}
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if m := mounts[one.Key]; one.Bucket == b.name && m != nil && one.Mounted && one.Mountpoint == m.dir {
				ids[one.Key] = one.ID
			}
		}
		return ids
	}
	text := run("ls", "--json")
	ids := unstoredOf(text)
	if len(ids) != 2 {
		t.Errorf("%v are seen of two, in %s", ids, text)
	}
	if text = run("show", ids["two"]); !strings.Contains(text, "two") {
		t.Errorf("one is shown as %s", text)
	}
}

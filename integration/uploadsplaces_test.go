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
	run := func(args ...string) (stdout, stderr string, code int) {
		t.Helper()
		cmd := exec.Command(must[string](t)(shared.raced()), append([]string{"uploads"}, args...)...)
		cmd.Env = append(os.Environ(), "HEADRACE_STAGING_DIR=") // no place is said
		p := start(t, cmd)
		p.await(2 * patience)
		return p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()
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
	// All mounts of the machine are asked, those of other tests too: one that is busy may not answer in time, and what is
	// in the default place, which is nobody's here, may go meanwhile. The exit code tells of those; what these two have is
	// in the list.
	var ids map[string]string
	eventually(t, patience, "both mounts' files to be seen", func() bool {
		stdout, stderr, code := run("ls", "--json")
		ids = unstoredOf(stdout)
		t.Logf("exit code %d, %v of two; %s", code, ids, stderr)
		return len(ids) == 2
	})
	eventually(t, patience, "one of them to be shown", func() bool {
		stdout, stderr, code := run("show", ids["two"])
		t.Logf("exit code %d, %s%s", code, stdout, stderr)
		return code == 0 && strings.Contains(stdout, "two")
	})
}

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// `headrace cache` shows, verifies, pins and gives up what a cache directory holds, while a mount uses it and after.
func TestCacheCommand(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	for i, key := range []string{"weights/a", "weights/b", "logs/c"} {
		b.put(key, pattern(i), 2*mib)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, dir)
	for _, key := range []string{"weights/a", "weights/b", "logs/c"} {
		m.read(key)
	}
	m.awaitWritten(6 * mib)
	binary := must[string](t)(shared.raced())
	cache := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"cache"}, args...)...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("cache %q: exit code %d, should be %d: %s", args, got, code, out)
		}
		return string(out)
	}
	var status struct {
		Used    int64 `json:"used_bytes"`
		Objects int   `json:"objects"`
		Owner   *struct{ Source string }
	}
	if err := json.Unmarshal([]byte(cache(0, "status", dir, "--json")), &status); err != nil || status.Objects != 3 || status.Owner == nil || status.Owner.Source != b.source() {
		t.Errorf("status beside a mount: %+v, %v", status, err)
	}
	if got := cache(0, "ls", dir, b.source()+"/weights/*"); strings.Count(got, "2.0 MiB of 2.0 MiB") != 2 || strings.Contains(got, "logs") {
		t.Errorf("ls beside a mount: %s", got)
	}
	if got := cache(0, "verify", dir); !strings.HasPrefix(got, "3 objects compared; 0 damaged") {
		t.Errorf("verify beside a mount: %s", got)
	}
	cache(0, "pin", dir, b.source()+"/logs/")
	cache(0, "unpin", dir, b.source()+"/logs/")
	b.put("beside", 9, mib)
	m.read("beside")
	eventually(t, patience, "what was read to be evicted", func() bool {
		return strings.HasPrefix(cache(0, "evict", dir, b.source()+"/beside"), "1 objects, 1.0 MiB")
	})
	m.finish(syscall.SIGTERM)

	status.Owner = nil
	if err := json.Unmarshal([]byte(cache(0, "status", dir, "--json")), &status); err != nil || status.Used != 6*mib || status.Objects != 3 || status.Owner != nil {
		t.Errorf("status: %+v, %v", status, err)
	}
	if got := cache(0, "ls", dir, b.source()+"/weights/*"); strings.Count(got, "2.0 MiB of 2.0 MiB") != 2 || strings.Contains(got, "logs") {
		t.Errorf("ls: %s", got)
	}
	if got := cache(0, "verify", dir); !strings.HasPrefix(got, "3 objects compared; 0 damaged") {
		t.Errorf("verify: %s", got)
	}
	cache(0, "pin", dir, b.source()+"/weights/")
	if got := cache(0, "ls", dir); strings.Count(got, "pinned") != 2 {
		t.Errorf("pinned: %s", got)
	}
	if got := cache(0, "evict", dir, b.source()+"/weights/a"); !strings.HasPrefix(got, "1 objects, 2.0 MiB") {
		t.Errorf("evict: %s", got)
	}
	cache(0, "purge", dir)
	if got := cache(0, "ls", dir); got != "" {
		t.Errorf("after purge: %s", got)
	}
	for args, says := range map[string]string{
		"status": "an action and a directory", "frob " + dir: "unknown action", "pin " + dir: "which objects", "evict " + dir + " weights": "s3://BUCKET/KEY",
	} {
		if got := cache(2, strings.Fields(args)...); !strings.Contains(got, says) {
			t.Errorf("%s: %s", args, got)
		}
	}
	if got := cache(9, "status", filepath.Join(dir, "data")); !strings.Contains(got, "not a cache directory") {
		t.Error(fmt.Sprint("elsewhere: ", got))
	}
}

// With --json each action prints documents that scripts can read, while a mount uses the directory and when none does;
// what is damaged is told by the exit code too.
func TestCacheCommandForScripts(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	p := newProxy(t, b.server.Endpoint())
	dir := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, dir)
	for i, key := range []string{"a", "b", "c"} {
		b.put(key, pattern(i), 2*mib)
		m.read(key)
	}
	m.awaitWritten(6 * mib)
	binary := must[string](t)(shared.raced())
	type document struct {
		Objects, Bytes int64
		Object, ETag   string
		Size           int64 `json:"size_bytes"`
		Present        int64 `json:"present_bytes"`
		Pinned         bool
		Damaged        int64 `json:"damaged_objects"`
		Dropped        int64 `json:"dropped_blocks"`
	}
	ask := func(code int, action string, patterns ...string) (documents []document) {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"cache", "--json", action, dir}, patterns...)...)
		out, _ := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%s: exit code %d, should be %d", action, got, code)
		}
		for line := range strings.Lines(string(out)) {
			var d document
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%s: %q: %v", action, line, err)
			}
			documents = append(documents, d)
		}
		return documents
	}
	one := func(d []document) document {
		t.Helper()
		if len(d) != 1 {
			t.Fatalf("%d documents", len(d))
		}
		return d[0]
	}
	for _, live := range []bool{true, false} {
		if !live {
			m.finish(syscall.SIGTERM)
		}
		if d := one(ask(0, "pin", b.source()+"/a")); d.Objects != 1 {
			t.Errorf("live %t: pin: %+v", live, d)
		}
		eventually(t, patience, "the pin to be listed", func() bool {
			list := ask(0, "ls", b.source()+"/a")
			return len(list) == 1 && list[0].Pinned && list[0].Object == b.source()+"/a" && list[0].ETag != "" && list[0].Present == 2*mib && list[0].Size == 2*mib
		})
		if d := one(ask(0, "unpin", b.source()+"/a")); d.Objects != 1 {
			t.Errorf("live %t: unpin: %+v", live, d)
		}
		if list := ask(0, "ls"); len(list) == 0 {
			t.Errorf("live %t: nothing is listed", live)
		}
		if d := one(ask(0, "verify")); d.Objects == 0 || d.Damaged+d.Dropped != 0 {
			t.Errorf("live %t: verify: %+v", live, d)
		}
		key := map[bool]string{true: "/b", false: "/c"}[live]
		if d := one(ask(0, "evict", b.source()+key)); d.Objects != 1 || d.Bytes != 2*mib {
			t.Errorf("live %t: evict: %+v", live, d)
		}
	}
	files := must[[]string](t)(filepath.Glob(filepath.Join(dir, "data", "*", "*")))
	if len(files) != 1 {
		t.Fatalf("data files: %q", files)
	}
	f := must[*os.File](t)(os.OpenFile(files[0], os.O_RDWR, 0))
	must[int](t)(f.WriteAt([]byte("damage"), mib+5))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if d := one(ask(1, "verify")); d.Objects != 1 || d.Damaged != 1 || d.Dropped != 1 {
		t.Errorf("verify of what is damaged: %+v", d)
	}
	if d := one(ask(0, "verify")); d.Objects != 1 || d.Damaged != 0 {
		t.Errorf("what was damaged has not been dropped: %+v", d)
	}
	if d := one(ask(0, "purge")); d.Objects != 1 || d.Bytes != mib {
		t.Errorf("purge: %+v", d)
	}
}

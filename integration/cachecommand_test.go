package integration

import (
	"encoding/json"
	"fmt"
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

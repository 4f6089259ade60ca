package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore/replicas"
)

// A migration that is killed at any point and run again moves every object once, whole, and loses none.
func TestKeysMigrateKilled(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	binary := must[string](t)(shared.raced())
	const objects = 60
	for i := range objects {
		b.put(fmt.Sprintf("set/%d", i), pattern(i), int64(100+i))
	}
	migrate := func() *exec.Cmd {
		cmd := exec.Command(binary, "keys", "migrate", "--jobs", "2", b.source()+"/set")
		cmd.Env = append(os.Environ(), "HEADRACE_ENDPOINT="+b.server.Endpoint())
		return cmd
	}
	moved := func() (n int) {
		for i := range objects {
			if _, err := os.Stat(b.path(fmt.Sprintf("set/%d", i))); os.IsNotExist(err) {
				n++
			}
		}
		return n
	}
	for _, until := range []int{1, 15, 40} {
		cmd := migrate()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, patience, "objects to be moved", func() bool { return moved() >= until })
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by its death
	}
	if out, err := migrate().CombinedOutput(); err != nil {
		t.Errorf("the last run: %v: %s", err, out)
	}
	for i := range objects {
		plain := fmt.Sprintf("set/%d", i)
		b.wantNothing(plain)
		want := object{key: plain, content: pattern(i), size: int64(100 + i)}
		if got := b.stored(stored(plain)); string(got) != string(want.bytes()) {
			t.Errorf("%s: %d bytes, which are not its content", plain, len(got))
		}
	}
}

// A migration takes what is below the prefix as a directory, and leaves what only begins with the same letters, and
// manifests of copies.
func TestKeysMigratePrefix(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	binary := must[string](t)(shared.raced())
	b.put("set/1", 1, 10)
	b.put("settings/1", 2, 10)
	b.putText(replicas.ManifestKey("set/1"), "{}")
	for _, source := range []string{b.source() + "/set", b.source() + "/settings/1"} {
		cmd := exec.Command(binary, "keys", "migrate", source)
		cmd.Env = append(os.Environ(), "HEADRACE_ENDPOINT="+b.server.Endpoint())
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "moved 1 objects") {
			t.Errorf("%s: %v: %s", source, err, out)
		}
	}
	cmd := exec.Command(binary, "keys", "migrate", b.source())
	cmd.Env = append(os.Environ(), "HEADRACE_ENDPOINT="+b.server.Endpoint())
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "moved 0 objects") || !strings.Contains(string(out), "1 objects have copies") {
		t.Errorf("all of it: %v: %s", err, out)
	}
	b.want(replicas.ManifestKey("set/1"), "{}")
}

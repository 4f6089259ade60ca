package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// cacheUsers asks who uses a cache directory, the owner first, by process id.
func cacheUsers(t *testing.T, dir string) (pids []int) {
	t.Helper()
	out, err := exec.Command(must[string](t)(shared.raced()), "cache", "--json", "status", dir).Output()
	if err != nil {
		return nil // nobody, or nobody who answers
	}
	type user struct{ PID int }
	var status struct {
		Owner   *user
		Sharers []user
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if status.Owner != nil {
		pids = append(pids, status.Owner.PID)
	}
	for _, u := range status.Sharers {
		pids = append(pids, u.PID)
	}
	return pids
}

func (m *mount) pid() int { return m.cmd.Process.Pid }

// Mounts of one bucket and of several share one cache directory: what one has read the others do not ask the store for,
// and when its owner is killed another takes its place, with no error for any reader.
func TestSharedCache(t *testing.T) {
	t.Parallel()
	one, other := newBucket(t), newBucket(t)
	var want, names []string
	for i, size := range boundarySizes() {
		names = append(names, fmt.Sprint("size/", size))
		want = append(want, one.put(names[i], pattern(i), size).sha256())
	}
	held := one.put("held", 3, 2*chunk+5)
	elsewhere := other.put("object", 8, chunk+1)
	p := newProxy(t, one.server.Endpoint())
	dir := filepath.Join(t.TempDir(), "cache")
	owner, sharer, third := cachedMount(t, one, p, dir), cachedMount(t, one, p, dir), cachedMount(t, other, p, dir)
	if users := cacheUsers(t, dir); len(users) != 3 || users[0] != owner.pid() {
		t.Errorf("the directory's users are %v", users)
	}
	checkContent(t, sharer, "read", want) // by offers to the owner
	used := onDisk(boundarySizes()...)
	sharer.awaitKept(used, names...)
	p.take(t)
	checkContent(t, owner, "read", want)
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("what the sharer had read was asked for again: %q", got)
	}
	if got, err := hashFile("read", third.path("object")); err != nil || got != elsewhere.sha256() {
		t.Errorf("of the other bucket: %s, %v", got, err)
	}
	hash := func(m *mount, name string, o object) {
		t.Helper()
		if got, err := hashFile("pread", m.path(name)); err != nil || got != o.sha256() {
			t.Errorf("%s reads as %s, %v", name, got, err)
		}
	}
	used += onDisk(elsewhere.size)
	third.awaitKept(used, "object")
	hash(owner, "held", held)
	owner.awaitKept(used+onDisk(held.size), "held")
	p.take(t)
	hash(sharer, "held", held)
	if got := downloads(p.take(t)); len(got) > 0 {
		t.Errorf("what the owner had read was asked for again: %q", got)
	}
	const passed = "headrace_fs_passthrough_opens_total"
	eventually(t, patience, "the kernel to read what a sharer has leased", func() bool {
		hash(sharer, "held", held)
		return sharer.counters(passed)[passed] > 0
	})

	file := sharer.open("held")
	begun, enough := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "enough")
	reader := start(t, sharer.command(fmt.Sprintf(`set -e; until test -e %s; do : > %s; for f in $MNT/size/*; do dd if=$f iflag=direct bs=1M status=none; done | sha256sum; done`, enough, begun)))
	eventually(t, patience, "the reader to begin", func() bool { _, err := os.Stat(begun); return err == nil })
	owner.finish(syscall.SIGKILL)
	eventually(t, patience, "a successor", func() bool {
		users := cacheUsers(t, dir)
		return len(users) == 2 && users[0] != owner.pid()
	})
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reader.await(2 * patience)
	sums := strings.Fields(strings.ReplaceAll(reader.stdout.String(), "-", ""))
	if len(sums) == 0 || strings.Count(reader.stdout.String(), sums[0]) != len(sums) || reader.stderr.String() != "" {
		t.Errorf("the reader was disturbed: %v, %q, %s", reader.cmd.ProcessState, sums, reader.stderr.String())
	}
	if code, said := headrace(t, "cache", "purge", dir); code != 0 {
		t.Errorf("purge: %d, %s", code, said)
	}
	content := make([]byte, held.size)
	if _, err := file.ReadAt(content, 0); err != nil {
		t.Error(err)
	} else if err := held.check(content, 0); err != nil { // by the kernel, from the file that the owner of before leased
		t.Error(err)
	}
	file.Close()

	again := cachedMount(t, one, p, dir)
	hash(again, "held", held)
	checkContent(t, again, "read", want)
	if users := cacheUsers(t, dir); len(users) != 3 || users[2] != again.pid() && users[1] != again.pid() {
		t.Errorf("who comes back owns what another has: %v", users)
	}
}

// An owner that hangs holds nobody up for long.
func TestSharedCacheOfAnOwnerThatHangs(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 1, 3*chunk)
	p := newProxy(t, b.server.Endpoint())
	dir := filepath.Join(t.TempDir(), "cache")
	owner := cachedMount(t, b, p, dir)
	sharer := startMount(t, mountSpec{
		source: b.source(), endpoint: p.endpoint(), cacheDir: dir, provoked: slog.LevelWarn,
		flags: []string{"--cache-dir", dir, "--memory", "64MiB"},
	})
	if err := owner.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer owner.cmd.Process.Signal(syscall.SIGCONT)
	begin := time.Now()
	if got, err := hashFile("read", sharer.path("object")); err != nil || got != o.sha256() {
		t.Errorf("%s, %v", got, err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("it took %v", took)
	}
	if err := owner.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the sharer to come back", func() bool { return len(cacheUsers(t, dir)) == 2 })
}

// What other credentials brought to a shared cache is read by those only whom the store lets.
func TestSharedCacheCredentials(t *testing.T) {
	t.Parallel()
	const stranger = "stranger"
	store := memstore.New("kept")
	content := bytes.Repeat([]byte("secret"), 2<<20/6)
	for _, key := range []string{"secret", "public"} {
		if _, err := store.Put(context.Background(), key, bytes.NewReader(content), int64(len(content)), objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	front := httptest.NewServer(s3front.New(s3front.Options{
		Buckets: []objstore.Bucket{store},
		Before: func(w http.ResponseWriter, r *http.Request) bool {
			refused := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secret") && strings.Contains(r.Header.Get("Authorization"), "Credential="+stranger+"/")
			if refused {
				http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
			}
			return refused
		},
	}))
	defer front.Close()
	dir := filepath.Join(t.TempDir(), "cache")
	spec := mountSpec{source: "s3://kept", endpoint: front.URL, cacheDir: dir, flags: []string{"--cache-dir", dir, "--memory", "64MiB"}}
	owner := startMount(t, spec)
	spec.environment, spec.provoked = []string{"AWS_ACCESS_KEY_ID=" + stranger}, slog.LevelError
	other := startMount(t, spec)
	for _, key := range []string{"secret", "public"} {
		if owner.read(key) != string(content) {
			t.Errorf("%s: wrong content", key)
		}
	}
	owner.awaitWritten(int64(2 * len(content)))
	for range 2 {
		if b, err := os.ReadFile(other.path("secret")); !errors.Is(err, syscall.EACCES) {
			t.Errorf("a stranger reads %d bytes: %v", len(b), err)
		}
		if other.read("public") != string(content) {
			t.Error("public: wrong content")
		}
	}
}

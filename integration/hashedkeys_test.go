package integration

import (
	"crypto/md5"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stored is where a key is in the documented form.
func stored(key string) string { return fmt.Sprintf("%x", md5.Sum([]byte(key)))[:6] + "/" + key }

func mountHashed(t *testing.T, b *bucket, endpoint string, flags ...string) *mount {
	t.Helper()
	home := t.TempDir() // of the saved index
	return startMount(t, mountSpec{
		source: b.source(), endpoint: endpoint, flags: append([]string{"--key-layout", "hashed"}, flags...), environment: []string{"XDG_CACHE_HOME=" + home},
	})
}

// With hashed keys, everything that is done to files is done to objects below the hash of their key, and what others
// have stored in that form is found.
func TestHashedKeys(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put(stored("set/a/1"), 1, mib)
	b.put(stored("set/a/2"), 2, 5)
	b.put(stored("top"), 3, 7)
	m := mountHashed(t, b, b.server.Endpoint())
	if got := m.names(); !slices.Equal(got, []string{"set", "top"}) {
		t.Errorf("the root has %q", got)
	}
	if got := m.read("set", "a", "1"); got != string(b.stored(stored("set/a/1"))) {
		t.Error("a file has another content than its object")
	}
	if err := os.MkdirAll(m.path("new", "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"x": "one", "y": "two"} {
		if err := os.WriteFile(m.path("new", "dir", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.want(stored("new/dir/x"), "one")
	if err := os.Rename(m.path("new", "dir"), m.path("new", "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.path("set", "a", "2")); err != nil {
		t.Fatal(err)
	}
	if got := m.names("new"); !slices.Equal(got, []string{"moved"}) {
		t.Errorf("after a rename: %q", got)
	}
	b.want(stored("new/moved/x"), "one")
	b.want(stored("new/moved/y"), "two")
	for _, key := range []string{"new/dir/x", "new/dir/y", "set/a/2"} {
		b.wantNothing(stored(key))
	}
	// The hash is over the whole key: a mount of a prefix finds the same objects, and writes where others look.
	below := startMount(t, mountSpec{source: b.source() + "/set", endpoint: b.server.Endpoint(), flags: []string{"--key-layout", "hashed"}, environment: []string{"XDG_CACHE_HOME=" + t.TempDir()}})
	if got := below.names("a"); !slices.Equal(got, []string{"1"}) || below.read("a", "1") != string(b.stored(stored("set/a/1"))) {
		t.Errorf("a mount of a prefix shows %q", got)
	}
	below.write("three", "a", "3")
	b.want(stored("set/a/3"), "three")
	again := mountHashed(t, b, b.server.Endpoint())
	if got := again.names("new", "moved"); !slices.Equal(got, []string{"x", "y"}) || again.read("new", "moved", "y") != "two" {
		t.Errorf("another mount shows %q", got)
	}
}

// A file in a known directory costs one HEAD; the index is made when a directory has no marker, or a name is not there.
func TestHashedKeysCost(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put(stored("file"), 1, 5)
	b.put(stored("dir/file"), 2, 5)
	p := newProxy(t, b.server.Endpoint())
	m := mountHashed(t, b, p.endpoint(), "--read-only", "--metadata-ttl", "1m")
	p.take(t)
	m.read("file")
	if got := p.take(t); !slices.Equal(got, []string{"GET /" + stored("file") + " bytes=0-4 if-match", "HEAD /" + stored("file")}) {
		t.Errorf("a file cost %q", got)
	}
	m.read("dir", "file")
	heads, lists := 0, 0
	for _, line := range p.take(t) {
		heads += strings.Count(line, "HEAD")
		lists += strings.Count(line, "LIST")
	}
	if lists < 256 || lists > 256+34 || heads != 3 { // "dir", "dir/", "dir/file"
		t.Errorf("the first directory cost %d HEADs and %d LISTs", heads, lists)
	}
	if _, err := os.Stat(m.path("dir", "none")); !os.IsNotExist(err) {
		t.Errorf("what is not there: %v", err)
	}
	m.names("dir")
	if got := p.take(t); len(got) != 1 || !strings.HasPrefix(got[0], "HEAD") {
		t.Errorf("with an index, a name that is not there and a listing cost %q", got)
	}
}

// A bucket that mixes layouts, and one whose keys are hashed and that is mounted as it is, are told of with what to do.
func TestHashedKeysMixed(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	for i := range 3 {
		b.put(stored(fmt.Sprint("set/", i)), pattern(i), 5)
	}
	said := func(m *mount, text string) {
		t.Helper()
		m.provoked = slog.LevelWarn
		m.names()
		eventually(t, patience, text, func() bool { return strings.Contains(m.rawLog(), text) })
	}
	said(startMount(t, mountSpec{source: b.source(), endpoint: b.server.Endpoint(), provoked: slog.LevelWarn}), "--key-layout hashed")
	b.put("plain/key", 9, 5)
	said(mountHashed(t, b, b.server.Endpoint()), "headrace keys migrate "+b.source()+"/")
}

// The index is saved in the cache directory, so that the next mount lists without making it.
func TestHashedKeysSaved(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.put(stored("dir/file"), 1, 5)
	cache := filepath.Join(t.TempDir(), "cache")
	p := newProxy(t, b.server.Endpoint())
	for round := range 2 {
		m := startMount(t, mountSpec{source: b.source(), endpoint: p.endpoint(), cacheDir: cache, flags: []string{"--key-layout", "hashed", "--key-index-ttl", "1h", "--cache-dir", cache, "--read-only"}})
		p.take(t)
		if got := m.names("dir"); !slices.Equal(got, []string{"file"}) {
			t.Errorf("shows %q", got)
		}
		lists := 0
		for _, line := range p.take(t) {
			lists += strings.Count(line, "LIST")
		}
		if (lists > 0) != (round == 0) {
			t.Errorf("mount %d made %d LISTs", round, lists)
		}
		m.stop()
	}
}

// `headrace keys` tells the two forms of a key, and moves plain objects to their hashed keys, also where an earlier run
// has begun.
func TestKeysCommand(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	binary := must[string](t)(shared.raced())
	keys := func(code int, stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"keys"}, args...)...)
		cmd.Env, cmd.Stdin = append(os.Environ(), "HEADRACE_ENDPOINT="+b.server.Endpoint()), strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("keys %q: exit code %d, should be %d: %s", args, got, code, out)
		}
		return string(out)
	}
	if got := keys(0, "x\ny\n", "encode", "a", "-"); got != "0cc175/a\n"+stored("x")+"\n"+stored("y")+"\n" {
		t.Errorf("encode: %q", got)
	}
	if got := keys(0, "", "decode", "0cc175/a"); got != "a\n" {
		t.Errorf("decode: %q", got)
	}
	if got := keys(1, "", "decode", "a"); !strings.Contains(got, "no hashed key") || !strings.Contains(got, "0cc175/a") {
		t.Errorf("decode of a plain key: %q", got)
	}
	keys(2, "", "migrate", "bucket")
	keys(2, "", "move", "x")

	for i := range 5 {
		b.put(fmt.Sprint("set/", i), pattern(i), 100)
	}
	b.put("other", 9, 5)
	b.put(stored("set/1"), 1, 100)  // an earlier run has copied it
	b.put(stored("set/2"), 22, 100) // somebody else's
	if got := keys(0, "", "migrate", "--dry-run", b.source()+"/set"); !strings.Contains(got, "set/0 -> "+stored("set/0")) || !strings.Contains(got, "would move 5 objects, 500 B") {
		t.Errorf("dry run: %s", got)
	}
	if got := keys(10, "", "migrate", b.source()+"/set"); !strings.Contains(got, "moved 4 objects") || !strings.Contains(got, "set/2") || !strings.Contains(got, "another content") {
		t.Errorf("migrate: %s", got)
	}
	b.remove("set/2")
	if got := keys(0, "", "migrate", b.source()); !strings.Contains(got, "moved 1 objects, 5 B; 5 were hashed already") {
		t.Errorf("all of the bucket: %s", got)
	}
	m := mountHashed(t, b, b.server.Endpoint())
	if got := m.names("set"); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) || m.read("other") == "" {
		t.Errorf("the mount shows %q", got)
	}
	for _, key := range []string{"set/0", "set/1", "other"} {
		b.wantNothing(key)
	}
}

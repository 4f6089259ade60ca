package integration

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// With hashed keys and a mounted prefix, all that can be done to files and directories works as with plain ones, under
// the hash of the whole key.
func TestHashedKeysWrites(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := startMount(t, mountSpec{
		source: b.source() + "/pre/fix", endpoint: b.server.Endpoint(), flags: []string{"--key-layout", "hashed", "--key-index-ttl", "1h", "--staging-dir", t.TempDir()}, // where what the loser of a race wrote is kept
		environment: []string{"XDG_CACHE_HOME=" + t.TempDir()}, provoked: slog.LevelError,
	})
	key := func(name string) string { return stored("pre/fix/" + name) }
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	write := func(name, content string, flags int) error {
		f, err := os.OpenFile(m.path(name), os.O_WRONLY|flags, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		return errors.Join(err, f.Close())
	}
	ok(write("new", "one", os.O_CREATE|os.O_EXCL))
	b.want(key("new"), "one")
	if err := write("new", "two", os.O_CREATE|os.O_EXCL); !errors.Is(err, os.ErrExist) {
		t.Errorf("O_EXCL over a file that is there: %v", err)
	}
	ok(write("new", " more", os.O_APPEND))
	b.want(key("new"), "one more")
	f, err := os.OpenFile(m.path("new"), os.O_RDWR, 0)
	ok(err)
	_, err = f.WriteAt([]byte("ONE"), 0)
	ok(errors.Join(err, f.Close()))
	b.want(key("new"), "ONE more")

	// One that is replaced by somebody else after it was found missing is not written over.
	f, err = os.OpenFile(m.path("raced"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	ok(err)
	_, err = f.WriteString("mine")
	ok(err)
	b.putText(key("raced"), "theirs")
	if err := f.Close(); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("the loser of a race gets %v", err)
	}
	b.want(key("raced"), "theirs")

	large := bytes.Repeat([]byte("0123456789abcdef"), 70<<20/16) // in two parts
	ok(os.WriteFile(m.path("large"), large, 0o644))
	if got := b.stored(key("large")); !bytes.Equal(got, large) {
		t.Error("a large file is stored with another content")
	}
	ok(os.Rename(m.path("large"), m.path("renamed")))
	b.wantNothing(key("large"))
	if got, err := os.ReadFile(m.path("renamed")); err != nil || !bytes.Equal(got, large) {
		t.Errorf("a large file that was renamed has another content: %v", err)
	}

	ok(os.Mkdir(m.path("dir"), 0o755))
	if _, err := os.Stat(b.path(key("dir/"))); err != nil {
		t.Errorf("mkdir leaves no marker under the hash of its key: %v", err)
	}
	ok(write("dir/file", "x", os.O_CREATE))
	if err := os.Remove(m.path("dir")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("rmdir of a directory with a file: %v", err)
	}
	ok(os.Rename(m.path("dir"), m.path("moved")))
	b.want(key("moved/file"), "x")
	b.wantNothing(key("dir/file"))
	ok(os.Remove(m.path("moved", "file")))
	ok(os.Remove(m.path("moved")))
	got := slices.DeleteFunc(m.names(), func(name string) bool { return name == "raced" }) // what others have made shows when the index is made again, as it may have been by now
	if !slices.Equal(got, []string{"new", "renamed"}) {
		t.Errorf("left are %q", got)
	}
	for _, name := range []string{"dir/", "moved/", "moved/file"} {
		if _, err := os.Stat(b.path(key(name))); err == nil {
			t.Errorf("%s is left in the bucket", name)
		}
	}
}

// A path too long for a key, whose hash takes 7 of its 1,024 bytes, is ENAMETOOLONG, also before a directory rename
// begins.
func TestHashedKeysTooLong(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	m := mountHashed(t, b, b.server.Endpoint())
	deep := strings.Repeat(strings.Repeat("d", 250)+"/", 3) // 753 bytes
	if err := os.MkdirAll(m.path(deep), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path("short"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("short", strings.Repeat("f", 200)), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(deep, strings.Repeat("s", 60)) // 813 bytes: with "/" and 203 more it is 1,017, with 204 too long
	if err := os.Mkdir(m.path(long), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{204, 210} {
		if err := os.WriteFile(m.path(long, strings.Repeat("f", length)), []byte("x"), 0o644); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("a key of %d bytes: %v", len(long)+1+length, err)
		}
	}
	name := strings.Repeat("f", 203)
	if err := os.WriteFile(m.path(long, name), []byte("x"), 0o644); err != nil {
		t.Errorf("a key of %d bytes: %v", len(long)+1+len(name), err)
	}
	b.want(stored(long+"/"+name), "x")
	if err := os.Rename(m.path("short"), m.path(deep, strings.Repeat("t", 65))); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a rename below which a key would have %d bytes: %v", len(deep)+65+1+200, err)
	}
	b.want(stored("short/"+strings.Repeat("f", 200)), "x")
}

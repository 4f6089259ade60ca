package integration

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// `headrace mount s3://BUCKET DIR` shows a bucket at DIR: the object with the key `a/b/c` is the file `c` in the
// directory `a/b`.
func TestKeysAreFiles(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("a/b/c", "deep")
	b.putText("a/d", "shallow")
	b.putText("e", "top")
	m := mountBucket(t, b)
	checkNames(t, m.names(), "a", "e")
	checkNames(t, m.names("a"), "b", "d")
	for path, want := range map[string]string{"a/b/c": "deep", "a/d": "shallow", "e": "top"} {
		if got := m.read(path); got != want {
			t.Errorf("%s holds %q, should be %q", path, got, want)
		}
	}
	if info := must[os.FileInfo](t)(os.Stat(m.path("a", "b"))); !info.IsDir() {
		t.Errorf("a/b is %v, should be a directory", info.Mode())
	}
}

// `headrace mount s3://BUCKET/PREFIX DIR` shows what lies under the prefix, and nothing beside it.
func TestPrefix(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("data/set/1", "one")
	b.putText("data/set/sub/2", "two")
	b.putText("data/settings", "beside")
	b.putText("other", "outside")
	for _, source := range []string{b.source() + "/data/set", b.source() + "/data/set/"} {
		m := startMount(t, mountSpec{source: source, endpoint: b.server.Endpoint()})
		checkNames(t, m.names(), "1", "sub")
		if got := m.read("sub/2"); got != "two" {
			t.Errorf("sub/2 holds %q", got)
		}
	}
}

// `headrace mount s3:// DIR` shows every bucket the credentials can list, a directory each.
func TestAllBuckets(t *testing.T) {
	t.Parallel()
	server := newServer(t) // of its own: other tests make buckets
	first, second := newBucketOn(t, server), newBucketOn(t, server)
	first.putText("in/first", "1")
	second.putText("in/second", "2")
	m := startMount(t, mountSpec{source: "s3://", endpoint: server.Endpoint()})
	checkNames(t, m.names(), first.name, second.name)
	if got := m.read(first.name, "in", "first") + m.read(second.name, "in", "second"); got != "12" {
		t.Errorf("the files hold %q", got)
	}
	checkMissing(t, m.path("no-such-bucket"))
	checkMissing(t, m.path("Not_A_Bucket's name"))
}

// With `--bucket NAME`, repeated, `s3://` shows the buckets named and never asks for a list of them.
func TestNamedBuckets(t *testing.T) {
	t.Parallel()
	first, second, other := newBucket(t), newBucket(t), newBucket(t)
	first.putText("x", "1")
	second.putText("y", "2")
	p := newProxy(t, first.server.Endpoint())
	m := startMount(t, mountSpec{
		source: "s3://", endpoint: p.endpoint(),
		flags: []string{"--bucket", first.name, "--bucket", second.name},
	})
	checkNames(t, m.names(), first.name, second.name)
	checkMissing(t, m.path(other.name))
	if got := m.read(first.name, "x") + m.read(second.name, "y"); got != "12" {
		t.Errorf("the files hold %q", got)
	}
	if n := p.count("LISTBUCKETS"); n > 0 {
		t.Errorf("the buckets were listed %d times", n)
	}
}

// A directory exists when a key lies under it, or when its marker object, whose key ends in `/`, exists.
func TestDirectories(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putMarker("empty")
	b.putMarker("full")
	b.putText("full/file", "x")
	b.putText("implied/sub/file", "x")
	m := mountBucket(t, b)
	checkNames(t, m.names(), "empty", "full", "implied")
	checkNames(t, m.names("empty"))
	checkNames(t, m.names("full"), "file") // the marker is no entry of itself
	checkNames(t, m.names("implied"), "sub")
	checkMissing(t, m.path("emptyish"))
	checkMissing(t, m.path("full", "empty"))
}

// Characters that mean something in URLs, in XML or to a shell mean nothing in a key.
func TestSpecialCharacters(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	names := []string{
		"a b", "a+b", "a%20b", "a&b", "<a>", "a;b", "a?b=c", "#a", "'a'", `"a"`, `a\b`, "a\nb", "a\tb", "~a", "a*", "$a", "[a]", "a:b@c", "=a", "-a",
		"ünïcödé", "日本語", "\U0001f600", " a", "a ", ".a", "a.", "...",
	}
	for _, name := range names {
		b.putText("dir/"+name+"/"+name, name)
	}
	m, fresh := mountBucket(t, b), mountBucket(t, b)
	checkNames(t, m.names("dir"), names...)
	for _, name := range names {
		checkNames(t, m.names("dir", name), name)
		// By a listing, and by asking for the name alone.
		if listed, alone := m.read("dir", name, name), fresh.read("dir", name, name); listed != name || alone != name {
			t.Errorf("%q holds %q and %q", name, listed, alone)
		}
	}
}

// A name that does not exist is ENOENT.
func TestMissingNames(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putText("dir/file", "x")
	m := mountBucket(t, b)
	checkMissing(t, m.path("nothing"))
	checkMissing(t, m.path("dir", "nothing"))
	checkMissing(t, m.path("dir", "fil")) // the prefix of a key is no name
	checkMissing(t, m.path("di"))
}

// checkNames compares a listing with what it should be, whatever the order.
func checkNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	got = slices.Sorted(slices.Values(got))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got the names %q, should be %q", got, want)
	}
}

func checkMissing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: got %v, should not exist", filepath.Base(path), err)
	}
}

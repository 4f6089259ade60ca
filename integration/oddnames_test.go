package integration

import (
	"context"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// Real servers refuse keys that S3 itself takes, since they keep objects as files. These tests have a front that speaks
// S3 over a store in memory, which takes every key.

// Where a key is a file and a directory as well (`a` and `a/b`), the directory has the name, and the file is shown
// beside it under an escaped name.
func TestFileAndDirectoryOfOneName(t *testing.T) {
	t.Parallel()
	m := mountKeys(t, "a", "a/b", "a/b/c", "a/b-", "d/a", "d/a/b")
	checkKeys(t, m, map[string]string{
		"%file=a": "a", "a/%file=b": "a/b", "a/b/c": "a/b/c", "a/b-": "a/b-", "d/%file=a": "d/a", "d/a/b": "d/a/b",
	})
	for _, dir := range []string{"a", "a/b", "d/a"} {
		if info := must[os.FileInfo](t)(os.Stat(m.path(dir))); !info.IsDir() {
			t.Errorf("%s is %v, should be a directory", dir, info.Mode())
		}
	}
	checkMissing(t, m.path("a", "%file=b-")) // an escape of what needs none is no name
}

// Keys that no path can spell (with an empty component, `.` or `..`, a component above 255 bytes, NUL, or bytes that
// are not UTF-8) are shown, and can be read, under escaped names.
func TestKeysThatNoPathCanSpell(t *testing.T) {
	t.Parallel()
	long, longer := strings.Repeat("x", 300), strings.Repeat("é", 450)
	m := mountKeys(t, "a//b", "a/../b", "a/./b", "..", "//", "/", "/lead", "trail//x", "caf\xe9", "nul\x00byte", "%name=x", "%file=y", "%part=z",
		"100%", long, long+"/below", longer, "dir/"+long, strings.Repeat("x", 255), strings.Repeat("x", 249), "new\nline", "a b", `back\slash`)
	shown := keysShown(t, m)
	for path, key := range map[string]string{
		"a/%name=/b": "a//b", "a/%name=../b": "a/../b", "%name=caf%E9": "caf\xe9", "%name=nul%00byte": "nul\x00byte", "%name=%25name=x": "%name=x",
		"100%": "100%", strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		if shown[path] != key {
			t.Errorf("%q is %q, should be %q", path, shown[path], key)
		}
	}
}

// A marker that has content is shown as a file, under an escaped name.
func TestMarkerWithContent(t *testing.T) {
	t.Parallel()
	m := mountKeys(t, "dir/", "dir/file", "alone/")
	checkKeys(t, m, map[string]string{"dir/%file=": "dir/", "dir/file": "dir/file", "alone/%file=": "alone/"})
}

// Keys are bytes: upper and lower case differ, and so do the Unicode forms of one letter.
func TestKeysAreBytes(t *testing.T) {
	t.Parallel()
	composed, decomposed := "\u00e9", "e\u0301"
	m := mountKeys(t, "case", "Case", "CASE", composed, decomposed)
	checkKeys(t, m, map[string]string{"case": "case", "Case": "Case", "CASE": "CASE", composed: composed, decomposed: decomposed})
}

// mountKeys mounts a bucket that has an object under each key, whose content is the key.
func mountKeys(t *testing.T, keys ...string) *mount {
	t.Helper()
	store := memstore.New("odd")
	for _, key := range keys {
		_, err := store.Put(context.Background(), key, strings.NewReader(key), int64(len(key)), objstore.Condition{}, objstore.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
	}
	front := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{store}}))
	atEnd(t, front.Close)
	m := startMount(t, mountSpec{source: "s3://odd", endpoint: front.URL})
	if shown := keysShown(t, m); !slices.Equal(slices.Sorted(maps.Values(shown)), slices.Sorted(slices.Values(keys))) {
		t.Errorf("the mount shows %q, should show %q", shown, keys)
	}
	return m
}

// keysShown walks the mount and maps the path of each file to its key. Each file must tell its key and hold it as
// content, and must be found again by its path when nothing is listed.
func keysShown(t *testing.T, m *mount) map[string]string {
	t.Helper()
	shown := make(map[string]string)
	err := filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key := attribute(t, path, "user.s3.key")
		if key != string(content) {
			t.Errorf("%q says that its key is %q, but holds %q", path, key, content)
		}
		relative, err := filepath.Rel(m.dir, path)
		shown[relative] = key
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// checkKeys compares the paths and their keys with what they should be.
func checkKeys(t *testing.T, m *mount, want map[string]string) {
	t.Helper()
	if got := keysShown(t, m); !maps.Equal(got, want) {
		t.Errorf("the paths and their keys are %q, should be %q", got, want)
	}
	// Each name by itself, in a mount that has listed nothing.
	fresh := startMount(t, mountSpec{source: "s3://odd", endpoint: m.endpoint})
	for path, key := range want {
		if got := fresh.read(path); got != key {
			t.Errorf("%q, looked up without a listing, holds %q, should hold %q", path, got, key)
		}
	}
}

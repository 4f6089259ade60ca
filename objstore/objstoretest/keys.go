package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// oddKeys are keys that get lost where names are escaped, parsed or made into paths on the way.
func oddKeys() []string {
	return []string{
		"with space", "plus+plus", "percent%41", "percent%", "ünïcode/日本", "emoji 🌊", "a&b=c?d#e", "q\"uo'te<s>", "back\\slash",
		"tab\tin", "new\nline", "return\rin", "semi;colon", "comma,", "a:b@c", "{b}[r](a)", "pipe|caret^tilde~", "star*",
		"trailing/", "double//slash", "/leading", "//", "/", ".", "..", "a/./b", "a/../b", "dir/.", "...", "\x01control", "del\x7f",
		"not\xffutf8", "\xc3", "nul\x00in", strings.Repeat("n", 300), strings.Repeat("long/", 204) + "1024",
	}
}

func testKeys(s *suite) {
	for _, key := range oddKeys() {
		s.Run(fmt.Sprintf("%.20q", key), func(t *testing.T) {
			testKey(&suite{T: t, bucket: s.bucket, quirks: s.quirks}, key)
		})
	}
}

// testKey takes one key through its life.
func testKey(s *suite, key string) {
	content := []byte("content of " + key)
	if s.quirks.NoMarkerContent != "" && strings.HasSuffix(key, "/") {
		content = nil
	}
	size := int64(len(content))
	e, err := s.bucket.Put(s.Context(), key, bytes.NewReader(content), size, objstore.Condition{}, objstore.Attributes{})
	if reason := s.quirks.RefusesKey(key); reason != "" {
		s.refuses(key, err, reason)
		return
	}
	s.must(err)
	if e.Key != key {
		s.Errorf("stored as %q", e.Key)
	}
	s.holds(key, content)
	if reason := s.quirks.MisplacesKey(key); reason != "" {
		s.misplaces(key, reason)
		return
	}
	if got := s.list(objstore.ListOptions{}); !slices.Equal(got.keys, []string{key}) {
		s.Errorf("listed as %q", got.keys)
	}
	if got := s.list(objstore.ListOptions{Prefix: key}); !slices.Equal(got.keys, []string{key}) {
		s.Errorf("listed as %q below itself", got.keys)
	}
	if i := strings.LastIndex(key[:len(key)-1], "/"); i >= 0 {
		got := s.list(objstore.ListOptions{Prefix: key[:i+1], Delimiter: "/"})
		if names := append(got.keys, got.prefixes...); !slices.Equal(names, []string{key}) {
			s.Errorf("listed as %q below %q", names, key[:i+1])
		}
	}
	if content != nil { // where a marker is a directory, it is not copied to a file
		_, err = s.bucket.Copy(s.Context(), "copy", objstore.VersionOf(s.bucket, e), objstore.Condition{})
		s.must(err)
		s.holds("copy", content)
		s.must(s.bucket.Delete(s.Context(), "copy"))
	}
	s.must(s.bucket.Delete(s.Context(), key))
	_, err = s.bucket.Stat(s.Context(), key)
	s.fails(err, key, objstore.ErrNotExist)
}

// refuses proves that a key is refused for good, and that nothing was stored under it or under another name.
func (s *suite) refuses(key string, err error, reason string) {
	s.Helper()
	if err == nil {
		s.Errorf("%q was taken: so it is not true any more that %s", key, reason)
		s.must(s.bucket.Delete(s.Context(), key))
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("%q: %v", key, err)
	}
	if got := s.list(objstore.ListOptions{}); len(got.keys) > 0 {
		s.Errorf("%q was refused, yet there is %q", key, got.keys)
		for _, stray := range got.keys {
			s.must(s.bucket.Delete(s.Context(), stray))
		}
	}
}

// misplaces proves that a stored key is listed as another, and removes it.
func (s *suite) misplaces(key, reason string) {
	s.Helper()
	if got := s.list(objstore.ListOptions{}); slices.Contains(got.keys, key) {
		s.Errorf("%q is listed: so it is not true any more that %s", key, reason)
	}
	s.must(s.bucket.Delete(s.Context(), key))
	for _, stray := range s.list(objstore.ListOptions{}).keys {
		s.must(s.bucket.Delete(s.Context(), stray))
	}
}

func testFileBesideDirectory(s *suite) {
	s.put("a", []byte("file"))
	_, err := s.bucket.Put(s.Context(), "a/b", bytes.NewReader([]byte("below")), 5, objstore.Condition{}, objstore.Attributes{})
	if reason := s.quirks.NoFileBesideDirectory; reason != "" {
		got := s.list(objstore.ListOptions{Delimiter: "/"})
		if err == nil && slices.Equal(got.keys, []string{"a"}) && slices.Equal(got.prefixes, []string{"a/"}) {
			s.Errorf("it is not true any more that %s", reason)
		}
		return
	}
	s.must(err)
	s.holds("a", []byte("file"))
	s.holds("a/b", []byte("below"))
	got := s.list(objstore.ListOptions{Delimiter: "/"})
	if !slices.Equal(got.keys, []string{"a"}) || !slices.Equal(got.prefixes, []string{"a/"}) {
		s.Errorf("lists %q and %q", got.keys, got.prefixes)
	}
}

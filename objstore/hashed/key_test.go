package hashed

import "testing"

// The form is that of the store's documentation: the first six hex digits of the key's MD5, a slash, the key. The
// digests are md5sum's.
func TestEncode(t *testing.T) {
	for key, want := range map[string]string{
		"data/file.bin": "380885/data/file.bin",
		"a":             "0cc175/a",
	} {
		if got := Encode(key); got != want {
			t.Errorf("%q is stored as %q, should be %q", key, got, want)
		}
	}
}

// Only what has the hash of its own rest is a stored key.
func TestDecode(t *testing.T) {
	for stored, want := range map[string]string{"0cc175/a": "a", Encode("x/y/"): "x/y/", Encode("ab12cd/z"): "ab12cd/z"} {
		if got, ok := Decode(stored); !ok || got != want {
			t.Errorf("%q is the key %q (%v), should be %q", stored, got, ok, want)
		}
	}
	for _, stored := range []string{"", "a", "0cc175", "0cc175a", "0cc176/a", "0CC175/a", "train/x", "0cc175/b"} {
		if got, ok := Decode(stored); ok {
			t.Errorf("%q is taken for the key %q", stored, got)
		}
	}
}

// A stored key gives its plain one again, whatever bytes it has, and lies in its shard.
func FuzzKeys(f *testing.F) {
	for _, key := range []string{"a", "a/b", "//", ".", "\xff\x00", "0cc175/a"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		stored := Encode(key)
		if got, ok := Decode(stored); !ok || got != key {
			t.Errorf("%q, stored as %q, is read as %q (%v)", key, stored, got, ok)
		}
		if prefix := shardPrefix(shardOf(key)); stored[:2] != prefix {
			t.Errorf("%q is stored as %q, and looked for in %q", key, stored, prefix)
		}
	})
}

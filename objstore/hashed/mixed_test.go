package hashed

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// A bucket of which not all is hashed is told of, once, with an example and what to do, wherever the key lies in the
// order of bytes; below a mounted prefix only what lies there.
func TestMixed(t *testing.T) {
	for _, c := range []struct{ plain, prefix string }{
		{"train/x", ""},
		{"0cc176/a", ""},
		{"IMG.jpg", ""},
		{"!first", ""},
		{"zz", ""},
		{"checkpoints/1", ""},
		{"e/1", ""},
		{"0", ""},
		{"9~", ""},
		{"aG", ""},
		{"fineweb/x", ""},
		{"f", ""},
		{"train/x", "train/"},
		{"data/x", "data/"},
		{"e/x", "e/"},
	} {
		store := memstore.New("bucket")
		put(t, store, Encode(c.prefix+"a"), Encode(c.prefix+"b"), ".headrace/replicas/x.json", c.plain)
		if c.prefix != "" {
			put(t, store, "0other", "dab", "unmounted")
		}
		var log bytes.Buffer
		b := New(store, Options{TTL: time.Nanosecond, Prefix: c.prefix, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			expect(t, b, objstore.ListOptions{Prefix: c.prefix}, c.prefix+"a", c.prefix+"b")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		got, want := log.String(), "keys migrate s3://bucket/"+c.prefix
		if strings.Count(got, "mixes layouts") != 1 || !strings.Contains(got, c.plain) || !strings.Contains(got, want) {
			t.Errorf("beside %s, below %q: %s", c.plain, c.prefix, got)
		}
	}
	store := memstore.New("bucket")
	put(t, store, Encode("data/a"), "other/key", "da")
	var log bytes.Buffer
	b := newBucket(t, store, Options{TTL: time.Hour, Prefix: "data/", Log: slog.New(slog.NewTextHandler(&log, nil))})
	expect(t, b, objstore.ListOptions{Prefix: "data/"}, "data/a")
	if strings.Contains(log.String(), "mixes") {
		t.Errorf("what is not mounted is told of: %s", log.String())
	}
	var entries []objstore.Entry
	for _, key := range []string{"a", "b", "c"} {
		if LooksHashed(entries) {
			t.Errorf("%d keys are enough to tell", len(entries))
		}
		entries = append(entries, objstore.Entry{Key: Encode(key)})
	}
	if !LooksHashed(entries) || LooksHashed(append(entries, objstore.Entry{Key: "plain"})) {
		t.Error("what is hashed is not told from what is not")
	}
}

package hashed

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

func byKey(a, b objstore.Entry) int { return strings.Compare(a.Key, b.Key) }

// Entries come back as they went in, from wherever one begins.
func TestSegment(t *testing.T) {
	var entries []objstore.Entry
	etags := []string{
		"d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e-12", "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e-012",
		"d41d8cd98f00b204e9800998ecf8427e-", "d41d8cd98f00b204e9800998ecf8427x", "", "other",
	}
	for n := range 500 {
		e := objstore.Entry{
			Key: fmt.Sprintf("dir-%d/%s", n%7, strings.Repeat("x", n%90)+fmt.Sprint(n)), Size: int64(n) << (n % 40), ETag: etags[n%len(etags)],
			ModTime: time.UnixMilli(int64(n) * 1e9),
		}
		if n%5 == 0 {
			e.StorageClass = "COLD"
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, byKey)
	s := newSegment(entries)
	if got := s.entries(); !slices.EqualFunc(got, entries, sameEntry) {
		t.Errorf("%d entries came back of %d, or not the same", len(got), len(entries))
	}
	for _, from := range append([]string{"", "dir-3", "zzz", "dir-6/xxx"}, entries[33].Key, entries[32].Key+"\x00") {
		want, _ := slices.BinarySearchFunc(entries, from, func(e objstore.Entry, key string) int { return strings.Compare(e.Key, key) })
		c := cursor{segment: s}
		if ok := c.seek(from); ok != (want < len(entries)) || ok && !sameEntry(c.present(), entries[want]) {
			t.Errorf("from %q: at %+v (%v), should be number %d", from, c.present(), ok, want)
		}
	}
	if c := (cursor{segment: newSegment(nil)}); c.seek("") {
		t.Error("a segment of nothing has an entry")
	}
}

func sameEntry(a, b objstore.Entry) bool {
	return a.Key == b.Key && a.ETag == b.ETag && a.Size == b.Size && a.StorageClass == b.StorageClass && a.ModTime.Equal(b.ModTime)
}

// A walk over a segment and changes shows what a map would have, whatever the order of changes and merges.
func TestShardAgainstMap(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		truth := make(map[string]objstore.Entry)
		entry := func() objstore.Entry {
			return objstore.Entry{Key: fmt.Sprint("k", random.IntN(60)), Size: random.Int64N(1000), ETag: "e", ModTime: time.UnixMilli(5)}
		}
		for range 30 {
			e := entry()
			truth[e.Key] = e
		}
		clock := time.UnixMilli(1000)
		s := shard{}
		list := func() []objstore.Entry { return slices.SortedFunc(maps.Values(truth), byKey) }
		s.replace(newSegment(list()), clock)
		for range 200 {
			clock = clock.Add(time.Second)
			e := entry()
			switch removed := random.IntN(3) == 0; {
			case random.IntN(20) == 0: // a listing that misses what comes while it is under way
				s.listing = true
				listed, began := list(), clock
				for range 5 {
					clock = clock.Add(time.Second)
					e := entry()
					truth[e.Key] = e
					s.change(change{entry: e, at: clock})
				}
				s.replace(newSegment(listed), began)
				s.listing = false
			case random.IntN(20) == 0:
				s.segment, s.changes = s.changes.merged(s.segment), nil
			case removed:
				delete(truth, e.Key)
				s.change(change{entry: objstore.Entry{Key: e.Key}, removed: true, at: clock})
			default:
				truth[e.Key] = e
				s.change(change{entry: e, at: clock})
			}
			var got []objstore.Entry
			from := fmt.Sprint("k", random.IntN(60))
			w := walker{cursor: cursor{segment: s.segment}, changes: s.changes}
			for ok := w.seek(from); ok; ok = w.advance() {
				got = append(got, w.entry())
			}
			want := slices.DeleteFunc(list(), func(e objstore.Entry) bool { return e.Key < from })
			if !slices.EqualFunc(got, want, sameEntry) {
				t.Fatalf("seed %d, from %q: %v, should be %v", seed, from, got, want)
			}
		}
	}
}

// To skip ends where to seek does, near and far, over changes and removals.
func TestSkip(t *testing.T) {
	var entries []objstore.Entry
	for n := range 400 {
		entries = append(entries, objstore.Entry{Key: fmt.Sprintf("k%04d", 2*n)})
	}
	var changes overlay
	for n := range 100 {
		changes = changes.with(change{entry: objstore.Entry{Key: fmt.Sprintf("k%04d", 8*n+n%2)}, removed: n%3 == 0})
	}
	for from := 0; from < 800; from += 7 {
		for _, by := range []int{0, 1, 2, 30, 63, 64, 65, 200, 900} {
			start, to := fmt.Sprintf("k%04d", from), fmt.Sprintf("k%04d", from+by)
			skipped, sought := walker{cursor: cursor{segment: newSegment(entries)}, changes: changes}, walker{cursor: cursor{segment: newSegment(entries)}, changes: changes}
			if !skipped.seek(start) {
				continue
			}
			did, does := skipped.skip(to), sought.seek(max(to, skippedFrom(entries, changes, start)))
			if did != does || did && skipped.key() != sought.key() {
				t.Errorf("from %s to %s: skipped to %v %q, sought %v %q", start, to, did, skipped.key(), does, sought.key())
			}
		}
	}
}

// skippedFrom is where a walk from start begins.
func skippedFrom(entries []objstore.Entry, changes overlay, start string) string {
	w := walker{cursor: cursor{segment: newSegment(entries)}, changes: changes}
	w.seek(start)
	return w.key()
}

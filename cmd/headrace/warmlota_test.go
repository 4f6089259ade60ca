package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
)

func milliseconds(values ...int) (times []time.Duration) {
	for _, v := range values {
		times = append(times, time.Duration(v)*time.Millisecond)
	}
	return times
}

// The estimate counts those that came in less than half of what was usual before, and says when that means nothing.
func TestJudgeResidency(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []time.Duration
		want          string
	}{
		"half":             {milliseconds(100, 90, 110), milliseconds(5, 100, 6, 120), "about 50%: the first byte of 2 of 4 objects"},
		"as before":        {milliseconds(5, 6, 7), milliseconds(5, 6, 7), "held them before, or does not hold them yet"},
		"slower":           {milliseconds(5, 6, 7), milliseconds(50, 60, 70), "held them before, or does not hold them yet"},
		"nothing":          {nil, nil, "nothing to sample"},
		"none to judge by": {milliseconds(5), nil, "nothing to sample"},
	} {
		if got := judge(c.before, c.after).String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Samples before and after have no object in common, and come from all of the list.
func TestSample(t *testing.T) {
	s := newSample()
	for n := range 10_000 {
		s.offer(object{Entry: objstore.Entry{Key: fmt.Sprint(n)}})
	}
	seen, late := make(map[string]bool), 0
	for _, o := range append(s.objectsBefore(), s.objectsAfter()...) {
		if seen[o.Key] {
			t.Errorf("%s is in both samples", o.Key)
		}
		seen[o.Key] = true
		if len(o.Key) == 4 && o.Key >= "5000" {
			late++
		}
	}
	if len(seen) != 2*sampleSize || late == 0 || late == len(seen) {
		t.Errorf("%d objects, %d of them from the second half", len(seen), late)
	}
}

// What an interrupted run has done is known to the next one, whole entries only, for a day.
func TestPrestageRecord(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	o := warmOptions{args: []string{"s3://bucket/set"}}
	entry := func(key, etag string) object {
		return object{memstore.New("bucket"), objstore.Entry{Key: key, ETag: etag}}
	}
	open := func(now time.Time) *prestageRecord {
		t.Helper()
		r, err := openPrestageRecord(o, now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open(time.Now())
	r.add(entry("a", "1"))
	r.add(entry("b", "1"))
	if err := r.close(false); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.path, 12); err != nil { // killed in the middle of writing
		t.Fatal(err)
	}
	r = open(time.Now())
	if !r.has(entry("a", "1")) || r.has(entry("a", "2")) || r.has(entry("b", "1")) {
		t.Errorf("known: %v", r.done)
	}
	r.add(entry("c", "1"))
	if err := r.close(false); err != nil {
		t.Fatal(err)
	}
	if r = open(time.Now()); !r.has(entry("c", "1")) {
		t.Error("what was recorded after a torn entry is lost")
	}
	if err := r.close(false); err != nil {
		t.Fatal(err)
	}
	if r = open(time.Now().Add(2 * prestageRecordAge)); len(r.done) != 0 {
		t.Error("LOTA is thought to hold what it was asked for two days ago")
	}
	if err := r.close(true); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.path), "*")); err != nil || len(left) > 0 {
		t.Errorf("a complete run leaves %q (%v)", left, err)
	}
}

package fs

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Each ESTALE has one second try, for a second, and no more are remembered than the limit.
func TestSecondTries(t *testing.T) {
	var s secondTries
	start := time.Unix(1_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	name := childName{1, "a"}
	if s.take(name, at(0)) {
		t.Error("a second try before the first")
	}
	s.expect(name, at(0))
	s.expect(name, at(0))
	if s.take(childName{2, "a"}, at(0)) || s.take(childName{1, "b"}, at(0)) {
		t.Error("a second try at another name")
	}
	if !s.take(name, at(secondTry-1)) || !s.take(name, at(secondTry-1)) || s.take(name, at(secondTry-1)) {
		t.Error("not two second tries after two first ones")
	}
	s.expect(name, at(0))
	if s.take(name, at(secondTry)) || len(s.names) != 0 {
		t.Error("a second try after its time")
	}
	for i := range 3 * maxSecondTries {
		s.expect(childName{1, fmt.Sprint(i)}, at(time.Duration(i)*time.Millisecond))
		if len(s.names) > maxSecondTries {
			t.Fatalf("%d are remembered", len(s.names))
		}
	}
}

// A name that changes between any two requests is ESTALE once, as often as it is looked at: never twice in a row, which would
// reach the program. And what is answered is never older than the call that asks.
func TestStatOfWhatChangesAllTheTime(t *testing.T) {
	b := newFakeBucket()
	cfg, _ := testConfig(t, b)
	cfg.MetadataTTL = 0
	d := newDriver(t, cfg)
	size := 0
	replace := func() {
		size++
		b.put("a", make([]byte, size))
	}
	replace()
	for range 20 {
		before := size
		out, status := d.lookup("a")
		if status != fuse.OK {
			t.Fatal(status)
		}
		replace()
		attr, status := d.stat(out.NodeId)
		if status == fuse.Status(syscall.ESTALE) {
			before = size - 1
			if out, status = d.lookup("a"); status != fuse.OK {
				t.Fatal(status)
			}
			replace()
			if attr, status = d.stat(out.NodeId); status != fuse.OK {
				t.Fatalf("the second try: %v", status)
			}
		} else if status != fuse.OK {
			t.Fatal(status)
		}
		if int(attr.Size) < before {
			t.Fatalf("%d bytes, when there were %d before the call", attr.Size, before)
		}
		// One try more is not had for nothing.
		if _, status := d.stat(out.NodeId); status != fuse.Status(syscall.ESTALE) {
			t.Fatalf("stat without a lookup before: %v", status)
		}
		d.lookup("a")
		replace()
	}
}

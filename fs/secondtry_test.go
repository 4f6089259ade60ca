package fs

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A spell is of one name, ends a second after its last ESTALE, and what was asked before it or long ago is not
// believed.
func TestSecondTries(t *testing.T) {
	var s secondTries
	start := time.Unix(1_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	name := childName{1, "a"}
	if s.expected(name, at(0)) || s.believes(name, at(0), at(0)) {
		t.Error("a second try before the first")
	}
	s.expect(name, at(0))
	if s.expected(childName{2, "a"}, at(0)) || s.expected(childName{1, "b"}, at(0)) {
		t.Error("a second try at another name")
	}
	s.expect(name, at(secondTry/2))
	for _, test := range []struct {
		confirmed, now time.Duration
		want           bool
	}{
		{0, 0, true},
		{-1, 0, false},
		{1, secondTry, true},
		{0, secondTry, false},
		{secondTry, secondTry*3/2 - 1, true},
		{secondTry, secondTry * 3 / 2, false},
	} {
		if got := s.believes(name, at(test.confirmed), at(test.now)); got != test.want {
			t.Errorf("asked at %v, believed at %v: %v", test.confirmed, test.now, got)
		}
	}
	if len(s.names) != 0 {
		t.Error("a spell is remembered after its end")
	}
	for i := range 3 * maxSecondTries {
		s.expect(childName{1, fmt.Sprint(i)}, at(time.Duration(i)*time.Millisecond))
		if len(s.names) > maxSecondTries {
			t.Fatalf("%d are remembered", len(s.names))
		}
	}
}

// A name that changes between any two requests is ESTALE once, as often as it is looked at: never twice in a row, which
// would reach the program. And what is answered is never older than the call that asks.
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
		d.pass(2 * secondTry)
		before := size
		out, status := d.lookup("a")
		if status != fuse.OK {
			t.Fatal(status)
		}
		replace()
		attr, status := d.stat(out.NodeId)
		if status == fuse.Status(syscall.ESTALE) {
			// The kernel looks the name up twice where the first lookup has another node than it had, which it drops.
			for range 2 {
				d.pass(secondTry / 4)
				before = size
				if out, status = d.lookup("a"); status != fuse.OK {
					t.Fatal(status)
				}
				d.fs.Forget(out.NodeId, 1)
				replace()
			}
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
		// It is not for ever.
		d.pass(secondTry)
		if _, status := d.stat(out.NodeId); status != fuse.Status(syscall.ESTALE) {
			t.Fatalf("stat without a lookup before: %v", status)
		}
	}
}

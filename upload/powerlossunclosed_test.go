package upload

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/upload/journal"
)

// unclosedLoss is a file "a" that nobody has closed, or to which another handle writes while it is given the name of
// "b", which was acknowledged and is not in the store.
type unclosedLoss struct {
	stored   bool // "a" is in the store, and was not changed when the rename began
	old, new []byte
	disk     lossyDisk
	store    []map[string][]byte // what the store has at each moment
}

// With --write-back, a rename of a file that nobody has closed leaves what it replaces, which was acknowledged, or the
// file itself, whole, at whatever moment the mount is killed or the power goes, also when another handle writes to it
// while nothing of what it replaces is stored any more.
func TestCrashDuringRenameOfUnclosed(t *testing.T) {
	for _, stored := range []bool{false, true} {
		s := &unclosedLoss{stored: stored, old: text(7000, 2), new: text(3000, 3), disk: lossyDisk{t: t}}
		synctest.Test(t, func(t *testing.T) { s.run(t) })
		for i, m := range s.disk.moments {
			synctest.Test(t, func(t *testing.T) { s.recover(t, m, m.now, s.store[i]) })
		}
	}
	rebooted(t)
	for _, stored := range []bool{false, true} {
		s := &unclosedLoss{stored: stored, old: text(7000, 2), new: text(3000, 3), disk: lossyDisk{t: t}}
		boot := journal.Boot
		journal.Boot = func() string { return "this" }
		synctest.Test(t, func(t *testing.T) { s.run(t) })
		journal.Boot = boot
		tried := make(map[string]bool)
		for i, m := range s.disk.moments {
			for _, left := range m.losses() {
				if !m.plain(left) {
					continue
				}
				if key := fmt.Sprintf("%q %q", left, s.store[i]); !tried[key] {
					tried[key] = true
					synctest.Test(t, func(t *testing.T) { s.recover(t, m, left, s.store[i]) })
				}
			}
		}
		if len(tried) < 20 {
			t.Errorf("only %d different outcomes", len(tried))
		}
	}
}

func (s *unclosedLoss) run(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	if s.stored {
		r.put("a", text(500, 9))
	}
	f, over := r.open("a", false), r.open("b", false)
	r.write(over, s.old, 0)
	r.publish(over)
	s.disk.also = func() {
		has := make(map[string][]byte)
		for _, key := range []string{"a", "b"} {
			if _, err := r.store.Stat(t.Context(), key); err == nil {
				has[key] = r.stored(key)
			}
		}
		s.store = append(s.store, has)
	}
	s.disk.start(r.cfg.Journal)
	if err := over.staging.SyncLog(); err != nil { // and is known to be on the disk
		t.Fatal(err)
	}
	if err := over.staging.SyncData(); err != nil {
		t.Fatal(err)
	}
	s.disk.moments, s.store = nil, nil
	if !s.stored {
		r.write(f, text(2000, 4), 0)
	}
	for {
		over.Withdraw(t.Context())
		s.disk.moment("what is replaced is withdrawn")
		r.write(f, s.new, 0) // by another handle
		target := Target{Bucket: r.bucket, Key: "b", Replaces: over.Target().Replaces}
		left, did, err := f.Rename(t.Context(), t.Context(), target, over)
		s.disk.moment("after the rename, or before it is tried anew")
		if err == nil && did {
			if left.ETag != "" {
				if err := r.RemoveVersion(t.Context(), r.bucket, left); err != nil {
					t.Fatal(err)
				}
			}
			break
		}
		if !errors.Is(err, ErrStoreFirst) {
			t.Fatal(did, err)
		}
		over.Restore()
		if _, err := over.Store(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.disk.moment("the old object is gone")
	over.Discard(t.Context())
	s.disk.moment("what it replaces was given up")
	r.write(f, []byte("more"), 0)
	s.disk.moment("it is written to once more")
	over.Close()
	f.Close()
	time.Sleep(time.Second)
}

func (s *unclosedLoss) recover(t *testing.T, m moment, left, has map[string][]byte) {
	t.Helper()
	r := newRig(t, nil)
	for key, content := range has {
		r.put(key, content)
	}
	r.leave(left)
	r.remount(nil)
	waiting := r.status()
	var got []byte
	if _, err := r.store.Stat(t.Context(), "b"); err == nil {
		got = r.stored("b")
	}
	if !bytes.Equal(got, s.old) && !mixed(got, [][]byte{s.new, append([]byte("more"), s.new[4:]...)}) {
		t.Errorf("stored %v, %s: %d bytes are stored that are neither the old nor the new ones; left are %+v", s.stored, m.when, len(got), waiting)
	}
	r.abortAll()
	r.settled()
	if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
		t.Error(err)
	}
}

// plain tells whether the disk has all or nothing of what was not synced of each file: what comes of half of it, other
// tests look at.
func (m moment) plain(left map[string][]byte) bool {
	for name, content := range left {
		if !bytes.Equal(content, m.now[name]) && !bytes.Equal(content, m.synced[name]) {
			return false
		}
	}
	return true
}

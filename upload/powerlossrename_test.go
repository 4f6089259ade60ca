package upload

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/upload/journal"
)

// renameLoss is a file that was acknowledged under "a", is written anew, and is given the name of another one, "b",
// that was acknowledged too; the store has neither.
type renameLoss struct {
	old, new []byte
	begun    int // of the moments, the first after which the rename had begun
	disk     lossyDisk
}

// With --write-back, a rename over what was acknowledged leaves that or what has taken its place, whole, at whatever
// moment the power goes: not what was synced of the new one some time before, less what was cut off since.
func TestPowerLossDuringRename(t *testing.T) {
	s := &renameLoss{old: text(7000, 2), new: text(3000, 3), disk: lossyDisk{t: t}}
	synctest.Test(t, func(t *testing.T) { s.run(t) })
	rebooted(t)
	tried := make(map[string]bool)
	for _, m := range s.disk.moments[s.begun:] {
		for _, left := range m.losses() {
			if key := fmt.Sprint(left); !tried[key] && !torn(m, left) {
				tried[key] = true
				synctest.Test(t, func(t *testing.T) { s.recover(t, m, left) })
			}
		}
	}
	if len(tried) < 20 {
		t.Errorf("only %d different outcomes", len(tried))
	}
}

// torn tells whether the disk has anything but all or nothing of what was not synced of the file that is replaced: what
// that comes to, another test looks at.
func torn(m moment, left map[string][]byte) bool {
	for name, content := range left {
		if bytes.Contains(m.now[name], text(7000, 2)) || strings.HasSuffix(name, ".log") && bytes.Contains(m.now[name], []byte(`"Key":"b","Replaces":{"Endpoint":"","Bucket":"","Key":"","ETag":"","Size":0},"Base"`)) {
			return !bytes.Equal(content, m.now[name]) && !bytes.Equal(content, m.synced[name])
		}
	}
	return false
}

func (s *renameLoss) run(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	s.disk.start(r.cfg.Journal)
	r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrTimeout})
	f, over := r.open("a", false), r.open("b", false)
	r.write(f, text(9000, 1), 0)
	r.publish(f)
	r.write(over, s.old, 0)
	r.publish(over)
	if err := f.Truncate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r.write(f, s.new, 0)
	s.begun = len(s.disk.moments)
	s.disk.moment("before the rename")
	over.Withdraw(t.Context())
	if _, did, err := f.Rename(t.Context(), t.Context(), Target{Bucket: r.bucket, Key: "b"}, over); !did || err != nil {
		t.Fatal(did, err)
	}
	s.disk.moment("after the rename")
	over.Discard(t.Context())
	s.disk.moment("after what it replaces was given up")
}

func (s *renameLoss) recover(t *testing.T, m moment, left map[string][]byte) {
	t.Helper()
	r := newRig(t, nil)
	r.leave(left)
	r.remount(nil)
	waiting := r.status()
	var got []byte
	if _, err := r.store.Stat(t.Context(), "b"); err == nil {
		got = r.stored("b")
	}
	if !bytes.Equal(got, s.old) && !bytes.Equal(got, s.new) {
		t.Errorf("%s: %d bytes are stored that are neither the old nor the new ones; left are %+v", m.when, len(got), waiting)
	}
	r.abortAll()
	r.settled()
	if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
		t.Error(err)
	}
}

// What was renamed and removed before the names are synced is so after a loss of power.
func TestPowerLossAfterNamesAreSynced(t *testing.T) {
	disk := lossyDisk{t: t}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.WriteBack = true })
		disk.start(r.cfg.Journal)
		r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrTimeout})
		f, removed := r.open("a", false), r.open("c", false)
		for _, f := range []*File{f, removed} {
			r.write(f, text(3000, 1), 0)
			r.publish(f)
		}
		if did, err := f.Retarget(t.Context(), Target{Bucket: r.bucket, Key: "b"}); !did || err != nil {
			t.Fatal(did, err)
		}
		removed.Discard(t.Context()) // and is still open
		if err := r.SyncNames(); err != nil {
			t.Fatal(err)
		}
		syncs := len(disk.moments)
		if err := r.SyncNames(); err != nil || len(disk.moments) != syncs {
			t.Errorf("%d more are synced: %v", len(disk.moments)-syncs, err)
		}
		disk.moment("after the sync")
	})
	rebooted(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		last := disk.moments[len(disk.moments)-1]
		last.synced["owner.json"] = last.now["owner.json"]
		r.leave(last.synced)
		r.remount(nil)
		left := r.status()
		var keys []string
		for page, err := range r.store.List(t.Context(), objstore.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				keys = append(keys, e.Key)
			}
		}
		if len(left) > 0 || !slices.Equal(keys, []string{"b"}) {
			t.Errorf("the store has %v, and %+v are left", keys, left)
		}
		r.settled()
		if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
			t.Error(err)
		}
	})
}

// A rename that has failed is undone on the disk too: what it was to replace was acknowledged.
func TestPowerLossAfterAFailedRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.WriteBack = true })
		disk := lossyDisk{t: t}
		disk.start(r.cfg.Journal)
		r.put("a", text(3000, 1))
		r.bucket.Add(faultstore.Fault{Op: objstore.OpPut, Err: objstore.ErrTimeout})
		f, over := r.open("a", false), r.open("b", false)
		for _, f := range []*File{f, over} {
			r.write(f, text(10, 2), 0)
			r.publish(f)
		}
		over.Withdraw(t.Context())
		if _, did, err := f.Rename(t.Context(), t.Context(), Target{Bucket: r.bucket, Key: "b"}, over); did || err == nil {
			t.Fatal(did, err)
		}
		over.Restore()
		synctest.Wait()
		name := f.logged() + ".log"
		if rec := journal.Replay("id", disk.synced[name]); rec.Key != "a" || rec.Over != "" {
			t.Errorf("the disk has it be %q, in place of %q", rec.Key, rec.Over)
		}
		r.bucket.Clear()
		f.Close()
		over.Close()
		r.settled()
	})
}

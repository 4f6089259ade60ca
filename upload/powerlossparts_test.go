package upload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/upload/journal"
)

// What was acknowledged, and was let go from the disk as stored parts, is known to be there.
func TestPowerLossAfterLettingGo(t *testing.T) {
	small := func(c *Config) { c.WriteBack, c.Size = true, 256<<10 }
	r := newRig(t, small)
	disk := lossyDisk{t: t}
	disk.start(r.cfg.Journal)
	r.bucket.Add(faultstore.Fault{Op: objstore.OpCompleteUpload, Err: objstore.ErrTimeout})
	f, content := r.open("key", true), text(400<<10, 1)
	for off := 0; off < len(content); off += 20 << 10 {
		r.write(f, content[off:off+20<<10], int64(off))
		if off == 80<<10 {
			r.publish(f)
		}
	}
	f.mu.Lock()
	released := f.content.released.bytes()
	f.mu.Unlock()
	if released == 0 {
		t.Fatal("nothing was let go")
	}
	for name, log := range disk.synced {
		if id, is := strings.CutSuffix(name, ".log"); is {
			r := journal.Replay(id, log)
			if n := len(r.Released); n == 0 || int64(len(disk.synced[id+".data"])) < r.Released[n-1].End() {
				t.Errorf("%v was let go, and %d bytes of data were synced before", r.Released, len(disk.synced[id+".data"]))
			}
		}
	}
	dir := r.cfg.Journal.Path()
	if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
		t.Fatal(err)
	}
	for name, synced := range disk.synced {
		if filepath.Ext(name) == ".log" {
			if err := os.WriteFile(filepath.Join(dir, name), synced, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	rebooted(t)
	r.remount(nil)
	if left := r.status(); len(left) > 0 {
		t.Errorf("%+v are left", left)
	}
	if got := r.stored("key"); len(got) < 100<<10 || !mixed(got, [][]byte{content[:len(got)]}) {
		t.Errorf("%d bytes are stored, and not those", len(got))
	}
	r.settled()
}

// That a file was being stored, and that it is, the log says without a sync: after a loss of power its own object may
// be there all the same, and is no conflict.
func TestPowerLossForgetsPublishing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	disk := lossyDisk{t: t}
	disk.start(r.cfg.Journal)
	f, content := r.open("key", true), text(5000, 1)
	r.write(f, content, 0)
	r.publish(f)
	dir := r.cfg.Journal.Path()
	if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
		t.Fatal(err)
	}
	for name, synced := range disk.synced {
		if err := os.WriteFile(filepath.Join(dir, name), synced, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.put("key", content) // what came of it
	rebooted(t)
	r.remount(nil)
	if left := r.status(); len(left) > 0 {
		t.Errorf("%+v are left", left)
	}
	r.settled()
}

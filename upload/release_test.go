package upload

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

// Where a part cannot be let go, a file and its log agree on where its bytes are: else the next mount would take a hole
// for them, or look for them in an upload that was given up.
func TestPartThatIsNotLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		sync, punch error
		gone        bool
	}{
		"a log that is not synced":   {sync: syscall.EIO},
		"a disk that has no holes":   {punch: syscall.EOPNOTSUPP},
		"a hole that failed halfway": {punch: syscall.EIO, gone: true}, // what is there then, nobody knows
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { partNotLetGo(t, c.sync, c.punch, c.gone) }) })
	}
}

func partNotLetGo(t *testing.T, syncFails, punchFails error, gone bool) {
	r := newRig(t, func(c *Config) {
		c.WriteBack = true
		c.Journal.Fdatasync = func(f *os.File) error {
			if strings.HasSuffix(f.Name(), ".log") {
				return syncFails
			}
			return nil
		}
	})
	r.punch = func(*os.File, objstore.Range) error { return punchFails }
	f, content := r.open("key", true), text(200<<10, 1)
	for off := 0; off < len(content); off += 20 << 10 {
		r.write(f, content[off:off+20<<10], int64(off))
	}
	synctest.Wait() // its parts are sent
	f.letGo(t.Context())
	f.mu.Lock()
	released, id := slices.Clone(f.content.released), f.staging.ID()
	f.mu.Unlock()
	rec, data, err := r.cfg.Journal.Look(id)
	if err = errors.Join(err, data.Close()); err != nil {
		t.Fatal(err)
	}
	if (len(released) > 0) != gone || !slices.Equal([]objstore.Range(released), rec.Released) {
		t.Errorf("the file has let go of %v, its log of %v", released, rec.Released)
	}
	err = f.WriteAt(t.Context(), text(10, 2), 5)
	if errors.Is(err, syscall.ENOSPC) != gone {
		t.Errorf("it is written over: %v", err)
	}
	if !gone {
		copy(content[5:], text(10, 2))
	}
	dir := r.cfg.Journal
	dir.Fdatasync = nil
	r.publish(f)
	if err := errors.Join(r.Close(), dir.Close()); err != nil { // it dies before the store has it
		t.Fatal(err)
	}
	r.remount(nil)
	if left := r.status(); len(left) > 0 || !bytes.Equal(r.stored("key"), content) {
		t.Errorf("%+v are left, %d bytes are stored", left, len(r.stored("key")))
	}
	r.settled()
}

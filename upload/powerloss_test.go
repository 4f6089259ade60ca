package upload

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// lossyDisk knows what of the files of a staging directory a loss of power leaves for certain: what they held when they
// were last synced. Of the rest, the disk may have any.
type lossyDisk struct {
	t   *testing.T
	dir string

	mu      sync.Mutex        // guards what is below: several files may be synced at the same time
	synced  map[string][]byte // by the files' names
	may     [][]byte          // what the written file has held since that was last acknowledged, and then
	moments []moment

	also func() // notes what else there is at a moment; nil for nothing
}

// moment is one at which the power may go.
type moment struct {
	when   string
	now    map[string][]byte
	synced map[string][]byte
	may    [][]byte
}

func (d *lossyDisk) start(dir *journal.Dir) {
	d.dir, d.synced = dir.Path(), make(map[string][]byte)
	dir.Fdatasync = func(f *os.File) error {
		d.moment("before a sync of " + filepath.Ext(f.Name()))
		content, err := os.ReadFile(f.Name())
		d.mu.Lock()
		defer d.mu.Unlock()
		d.synced[filepath.Base(f.Name())] = content
		return err
	}
}

// moment adds this one.
func (d *lossyDisk) moment(when string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := moment{when: when, now: make(map[string][]byte), synced: make(map[string][]byte), may: slices.Clone(d.may)}
	files, err := filepath.Glob(filepath.Join(d.dir, "*.*"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) { // it was removed just now
			continue
		} else if err != nil {
			d.t.Error(err)
		}
		m.now[name] = content
		if content, ok := d.synced[name]; ok {
			m.synced[name] = content
		}
	}
	d.moments = append(d.moments, m)
	if d.also != nil {
		d.also()
	}
}

// outcomes are what a disk may have of a file.
func (m moment) outcomes(name string) (all [][]byte) {
	now, synced := m.now[name], m.synced[name]
	if synced == nil && strings.HasSuffix(name, ".data") { // its name is there when the log's is
		synced = []byte{}
	}
	all = append(all, now, synced)
	if len(now) > len(synced) {
		padded := append(slices.Clone(synced), make([]byte, len(now)-len(synced))...) // the length came first
		all = append(all, padded)
		torn := slices.Clone(now) // a page that came late
		clear(torn[len(synced) : len(synced)+(len(now)-len(synced))/2])
		all = append(all, torn)
	}
	return all
}

// mixed tells whether each byte of got is one that some state had there, and the length one's.
func mixed(got []byte, states [][]byte) bool {
	if !slices.ContainsFunc(states, func(s []byte) bool { return len(s) == len(got) }) {
		return false
	}
	for i, b := range got {
		if !slices.ContainsFunc(states, func(s []byte) bool { return i < len(s) && s[i] == b }) {
			return false
		}
	}
	return true
}

// powerLossScript is a file that is written, over what the store has under its name.
type powerLossScript struct {
	base  []byte
	steps []func(f *File, content []byte) ([]byte, error) // nil: publish
}

// put is a step that writes.
func put(t *testing.T, off, n int, seed byte) func(f *File, content []byte) ([]byte, error) {
	return func(f *File, content []byte) ([]byte, error) {
		p := text(n, seed)
		content = append(content, make([]byte, max(0, off+n-len(content)))...)
		copy(content[off:], p)
		return content, f.WriteAt(t.Context(), p, int64(off))
	}
}

func cut(t *testing.T, size int) func(f *File, content []byte) ([]byte, error) {
	return func(f *File, content []byte) ([]byte, error) {
		content = append(content, make([]byte, max(0, size-len(content)))...)
		return content[:size], f.Truncate(t.Context(), int64(size))
	}
}

func punched(t *testing.T, off, n int) func(f *File, content []byte) ([]byte, error) {
	return func(f *File, content []byte) ([]byte, error) {
		clear(content[off : off+n])
		return content, f.Allocate(t.Context(), int64(off), int64(n), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)
	}
}

// With --write-back, what was synced is what is stored after a loss of power, at whatever moment that comes: nothing of
// what was written since may take its place as zeros that nobody has written, nor may the log of it.
func TestPowerLoss(t *testing.T) {
	const k = 1 << 10
	for name, script := range map[string]powerLossScript{
		"appended": {nil, []func(*File, []byte) ([]byte, error){put(t, 0, 9*k, 1), nil, put(t, 9*k, 5*k, 2), put(t, 14*k, k, 3), nil, put(t, 15*k, 2*k, 4)}},
		"changed": {text(30*k, 7), []func(*File, []byte) ([]byte, error){
			put(t, 5*k, k, 1), nil, put(t, 20*k, k, 2), put(t, 5*k, 10, 8), put(t, 29*k, 4*k, 3), nil, punched(t, 21*k, 2*k), put(t, 40*k, 10, 4),
		}},
		"cut": {text(30*k, 7), []func(*File, []byte) ([]byte, error){put(t, 0, 20*k, 1), nil, cut(t, 3*k), nil, cut(t, 25*k), cut(t, 2*k), put(t, 8*k, k, 2), cut(t, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			var disk *lossyDisk
			synctest.Test(t, func(t *testing.T) { disk = script.run(t) })
			rebooted(t)
			tried := make(map[string]bool)
			for _, m := range disk.moments {
				for _, left := range m.losses() {
					if key := fmt.Sprint(left, len(m.may)); !tried[key] {
						tried[key] = true
						synctest.Test(t, func(t *testing.T) { script.recover(t, m, left) })
					}
				}
			}
			if len(tried) < 30 {
				t.Errorf("only %d different outcomes", len(tried))
			}
		})
	}
}

// run has the script happen, and never gets to the store.
func (s powerLossScript) run(t *testing.T) *lossyDisk {
	r := newRig(t, func(c *Config) { c.WriteBack = true })
	disk := &lossyDisk{t: t, may: [][]byte{s.base}}
	disk.start(r.cfg.Journal)
	if s.base != nil {
		r.put("key", s.base)
	}
	f, content := r.open("key", false), slices.Clone(s.base)
	for i, step := range s.steps {
		if step == nil {
			r.publish(f)
			disk.may = [][]byte{slices.Clone(content)}
		} else {
			var err error
			if content, err = step(f, content); err != nil {
				t.Fatal(err)
			}
			disk.may = append(disk.may, slices.Clone(content))
		}
		disk.moment(fmt.Sprintf("after step %d", i))
	}
	disk.t = nil
	return disk
}

// rebooted has the machine be another run of it until the test ends.
func rebooted(t *testing.T) {
	boot := journal.Boot
	journal.Boot = func() string { return "another" }
	t.Cleanup(func() { journal.Boot = boot })
}

// losses are what a disk may have of all files: those of the one upload there is.
func (m moment) losses() (all []map[string][]byte) {
	all = []map[string][]byte{{}}
	for name := range m.now {
		outcomes := [][]byte{m.now[name]}
		if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".data") {
			outcomes = m.outcomes(name)
		}
		var more []map[string][]byte
		for _, before := range all {
			for _, content := range outcomes {
				one := map[string][]byte{name: content}
				for other, content := range before {
					one[other] = content
				}
				more = append(more, one)
			}
		}
		all = more
	}
	return all
}

// recover has the next mount find what is left, and compares.
func (s powerLossScript) recover(t *testing.T, m moment, left map[string][]byte) {
	t.Helper()
	r := newRig(t, nil)
	if s.base != nil {
		r.put("key", s.base)
	}
	r.leave(left)
	r.remount(nil)
	waiting := r.status()
	var got []byte
	if e, err := r.store.Stat(t.Context(), "key"); err == nil {
		got = make([]byte, e.Size)
		if _, err := (fromStore{r.store}).ReadAt(t.Context(), objstore.VersionOf(r.store, e), got, 0); err != nil && e.Size > 0 && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	} else if !errors.Is(err, objstore.ErrNotExist) {
		t.Fatal(err)
	}
	if !mixed(got, m.may) {
		t.Errorf("%s: %d bytes are stored that the file never had since it was acknowledged; left are %+v", m.when, len(got), waiting)
	}
	r.abortAll()
	r.settled()
	if err := errors.Join(r.Close(), r.cfg.Journal.Close()); err != nil {
		t.Error(err)
	}
}

// leave puts files into a staging directory of a mount that is dead.
func (r *rig) leave(files map[string][]byte) {
	r.t.Helper()
	dir := filepath.Join(r.root, "0123456789ab")
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	for name, content := range files {
		if content == nil { // its name is not there either
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

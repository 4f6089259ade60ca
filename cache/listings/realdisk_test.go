package listings

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// eventually tries until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// onDisk has the machine's cache directory be on a file system of its own, of 1 MiB.
func (m *machine) onDisk() {
	m.t.Helper()
	if err := unix.Mount("tmpfs", m.dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
			m.t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(m.dir, markerFile), nil, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) readOnly(is bool) {
	m.t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if is {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", m.dir, "", flags, ""); err != nil {
		m.t.Fatal(err)
	}
}

// A disk that is full keeps nothing more and loses nothing: what is there is found, changes are noted, and it is told
// of once at the most. With room again, names are kept again.
func TestFullDisk(t *testing.T) {
	m := newMachine(t)
	m.onDisk()
	one, other := m.open(nil).shelf("b"), m.open(nil).shelf("b")
	save(t, one, "d/", "a")
	save(t, one, "e/", "b")
	filler := filepath.Join(m.dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for range 3 {
		save(t, one, "f/", "c")
		want(t, one, "f/")
		m.pass(rest)
	}
	want(t, one, "d/", "a")
	one.Changing("d/x")
	want(t, one, "d/")
	want(t, other, "d/")
	want(t, other, "e/", "b")
	if got := m.warnings(); got > 1 {
		t.Errorf("%d warnings:\n%s", got, m.log.String())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	m.pass(rest + settling)
	save(t, one, "d/", "x")
	want(t, other, "d/", "x")
}

// Of a disk that is read-only nothing is found by any process that uses it, since no change can be noted there; when it
// can be written to again, what was from before is gone.
func TestReadOnlyDisk(t *testing.T) {
	m := newMachine(t)
	m.onDisk()
	changing, listing := m.open(nil).shelf("b"), m.open(nil).shelf("b")
	save(t, changing, "d/", "a")
	want(t, listing, "d/", "a")
	m.readOnly(true)
	t.Cleanup(func() { m.readOnly(false) })
	changing.Changing("d/x")
	want(t, changing, "d/")
	want(t, listing, "d/")
	m.pass(rest)
	want(t, listing, "d/")
	m.readOnly(false)
	changing.voidForever() // it is killed
	m.pass(rest)
	want(t, listing, "d/") // which has what is there be removed
	settle(listing.store)
	want(t, m.open(nil).shelf("b"), "d/")
	save(t, listing, "d/", "x")
	want(t, listing, "d/", "x")
	if got := m.warnings(); got != 2 {
		t.Errorf("%d warnings, want one of each process:\n%s", got, m.log.String())
	}
}

// voidForever has a process be as good as killed: it does nothing about what it could not note.
func (h *Shelf) voidForever() {
	s := h.store
	s.writer.close(time.Minute)
	s.voids.Store(0)
}

// A disk that does not answer keeps nobody from asking the store, and is asked again when it answers.
func TestHungReading(t *testing.T) {
	m := newMachine(t)
	h := m.open(func(c *Config) { c.Patience = 50 * time.Millisecond }).shelf("b")
	eventually(t, "something to be kept", func() bool { m.pass(rest); save(t, h, "d/", "a"); n, _, _ := Usage(m.dir); return n == 1 })
	aside := filepath.Join(m.dir, "aside")
	if err := errors.Join(os.Rename(h.file("d/"), aside), unix.Mkfifo(h.file("d/"), 0o600)); err != nil { // which nobody can open before somebody writes to it
		t.Fatal(err)
	}
	m.pass(rest)
	eventually(t, "the disk to be found hanging", func() bool { m.pass(rest); want(t, h, "d/"); return h.store.hanging.Load() > 0 })
	errorsBefore := h.store.Stats().Errors
	for range 1000 { // at once, and without one more goroutine that hangs
		m.pass(rest)
		want(t, h, "d/")
		want(t, h, "e/")
	}
	if got := h.store.hanging.Load(); got != 1 {
		t.Errorf("%d questions hang", got)
	}
	if got := h.store.Stats().Errors; got != errorsBefore || got == 0 {
		t.Errorf("%d errors, %d before", got, errorsBefore)
	}
	fifo, err := os.OpenFile(h.file("d/"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the question to come to its end", func() bool { return h.store.hanging.Load() == 0 })
	if err := errors.Join(fifo.Close(), os.Rename(aside, h.file("d/"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be found again", func() bool {
		m.pass(rest)
		got, _, _ := load(t, h, "d/", "")
		return fmt.Sprint(got) == "[a]"
	})
}

// A change does not wait for ever for a disk that takes nothing, nor does the end of the process; what it could not
// note counts as not noted, and all goes when the disk answers.
func TestHungChange(t *testing.T) {
	m := newMachine(t)
	freeze := m.onFrozenLater()
	h := m.open(func(c *Config) { c.Patience = 50 * time.Millisecond }).shelf("b")
	eventually(t, "something to be kept", func() bool { m.pass(rest); save(t, h, "d/", "a"); n, _, _ := Usage(m.dir); return n == 1 })
	thaw, began := freeze(), time.Now()
	for range 1000 {
		h.Changing("d/x")
	}
	want(t, h, "d/")
	if time.Since(began) > frozenAtMost {
		t.Error("the changes waited until the disk answered")
	} else if !h.store.isVoid() || h.store.hanging.Load() == 0 {
		t.Error("the disk took it")
	}
	ended := m.open(func(c *Config) { c.Patience = 50 * time.Millisecond })
	ended.shelf("b").Changing("d/y")
	ended.Close()
	thaw()
	eventually(t, "what was there to go", func() bool { m.pass(rest); want(t, h, "d/"); n, _, _ := Usage(m.dir); return n == 0 })
	m.pass(settling)
	eventually(t, "names to be kept again", func() bool {
		m.pass(rest)
		save(t, h, "d/", "x")
		got, _, _ := load(t, h, "d/", "")
		return fmt.Sprint(got) == "[x]"
	})
}

// frozenAtMost is for how long a test may leave a disk frozen.
const frozenAtMost = 20 * time.Second

// onFrozenLater has the cache directory be on an ext4 of its own, that can be made to take nothing until it is thawed.
func (m *machine) onFrozenLater() (freeze func() (thaw func())) {
	t := m.t
	t.Helper()
	const fiFreeze, fiThaw = 0xc0045877, 0xc0045878 // from the kernel's fs.h
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, m.dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, bytes.TrimSpace(out))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", m.dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err := os.WriteFile(filepath.Join(m.dir, markerFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() func() {
		root, err := os.Open(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlSetInt(int(root.Fd()), fiFreeze, 0); err != nil {
			t.Fatal(err)
		}
		thaw := sync.OnceFunc(func() {
			if err := errors.Join(unix.IoctlSetInt(int(root.Fd()), fiThaw, 0), root.Close()); err != nil {
				t.Error(err)
			}
		})
		late := time.AfterFunc(frozenAtMost, thaw) // what waits for the disk could not be ended otherwise, not even by killing it
		t.Cleanup(func() { late.Stop(); thaw() })
		return thaw
	}
}

// What could not be noted is made good as soon as the disk works, though nobody asks for names.
func TestRemedyByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		s := m.open(func(c *Config) { c.Now = time.Now })
		h := s.shelf("b")
		save(t, h, "d/", "a")
		away := s.dir() + ".away"
		if err := errors.Join(os.Rename(s.dir(), away), os.WriteFile(s.dir(), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		h.Changing("d/x")
		time.Sleep(10*rest - rest/2) // between two tries
		if err := errors.Join(os.Remove(s.dir()), os.Rename(away, s.dir())); err != nil {
			t.Fatal(err)
		}
		want(t, m.open(nil).shelf("b"), "d/", "a")
		time.Sleep(3 * rest)
		synctest.Wait()
		if n, _, err := Usage(m.dir); n != 0 || err != nil || s.isVoid() {
			t.Errorf("%d listings are left: %v", n, err)
		}
		s.Close()
	})
}

// Where another process has the state and does not go on, what it would have been told of is removed all the same.
func TestStateTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		h, other := m.open(nil).shelf("b"), m.open(nil).shelf("b")
		save(t, h, "d/", "a")
		save(t, h, "e/", "b")
		taken, err := os.Open(filepath.Join(h.store.dir(), stateFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(taken.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		h.Changing("d/x")
		want(t, other, "d/")
		want(t, other, "e/", "b")
		want(t, h, "e/")
		if err := taken.Close(); err != nil {
			t.Fatal(err)
		}
		h.store.Close()
		want(t, other, "e/")
		other.store.Close()
	})
}

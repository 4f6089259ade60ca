package listings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever byte of a listing's file is another, and wherever it ends, what is found is right, and then nothing more.
func TestDamage(t *testing.T) {
	m := newMachine(t)
	h := m.open(nil).shelf("b")
	save(t, h, "d/", "a b", "x y")
	path := h.file("d/")
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, content []byte, every bool) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, _, found := load(t, h, "d/", "")
		text := fmt.Sprint(got)
		if found && text != "[a b damaged]" || every && found && text == "[a b x y]" {
			t.Fatalf("%s: found %s", what, text)
		}
		settle(h.store)
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Fatalf("%s: the file is still there: %v", what, err)
		}
	}
	for i := range right {
		wrong := append([]byte(nil), right...)
		wrong[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("byte %d of %d", i, len(right)), wrong, true)
		try(fmt.Sprintf("cut to %d of %d", i, len(right)), right[:i], true)
	}
	if got := h.store.Stats().Corrupt; got != int64(2*len(right)) {
		t.Errorf("%d were told to be damaged, of %d", got, 2*len(right))
	}
	if err := os.WriteFile(path, right, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, h, "d/", "a b", "x y")
}

// Without the state, or with one that is damaged, what is under way is not kept, and what is there is found and
// counted.
func TestStateLost(t *testing.T) {
	m := newMachine(t)
	h := m.open(nil).shelf("b")
	path := filepath.Join(h.store.dir(), stateFile)
	for what, lose := range map[string]func() error{
		"gone": func() error { return os.Remove(path) },
		"cut":  func() error { return os.Truncate(path, 100) },
		"wrong": func() error {
			b, err := os.ReadFile(path)
			b[60] ^= 1
			return errors.Join(err, os.WriteFile(path, b, 0o600))
		},
	} {
		save(t, h, "d/", "a")
		add, end := h.Save("e/")
		add("x", "x", []byte("x"))
		settle(h.store)
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		end(true)
		settle(h.store)
		want(t, h, "d/", "a")
		want(t, h, "e/")
		save(t, h, "e/", "y")
		want(t, h, "e/", "y")
		if err := h.store.exclusively(false, func(st *state) error {
			if st.used != 2*diskBlock {
				t.Errorf("%s: %d bytes are counted, want two blocks", what, st.used)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		h.Changing("e/z")
	}
}

// A disk on which nothing can be made is told of once, and tried again; nothing waits for it.
func TestDiskFails(t *testing.T) {
	m := newMachine(t)
	s := m.open(nil)
	if err := os.WriteFile(s.dir(), nil, 0o600); err != nil { // where the directory should be
		t.Fatal(err)
	}
	h := s.shelf("b")
	for range 3 {
		save(t, h, "d/", "a")
		want(t, h, "d/")
		m.pass(rest)
	}
	if got := m.warnings(); got != 1 {
		t.Errorf("%d warnings:\n%s", got, m.log.String())
	}
	if err := os.Remove(s.dir()); err != nil {
		t.Fatal(err)
	}
	m.pass(rest)
	save(t, h, "d/", "a") // which has what may be there be removed
	settle(s)
	save(t, h, "d/", "a") // which makes the state
	save(t, h, "d/", "a")
	want(t, h, "d/", "a")
}

// A change that could not be noted has everything be forgotten before anything is found again.
func TestChangeNotNoted(t *testing.T) {
	m := newMachine(t)
	s := m.open(nil)
	h := s.shelf("b")
	save(t, h, "d/", "a")
	save(t, h, "e/", "b")
	away := s.dir() + ".away"
	if err := os.Rename(s.dir(), away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Changing("d/x")
	if err := os.Remove(s.dir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, s.dir()); err != nil {
		t.Fatal(err)
	}
	want(t, h, "d/")
	want(t, h, "e/")
	m.pass(rest)
	want(t, h, "d/") // has them all be removed
	settle(s)
	want(t, h, "e/")
	if n, _, err := Usage(m.dir); n != 0 || err != nil {
		t.Errorf("%d listings are left: %v", n, err)
	}
	save(t, h, "d/", "x")
	want(t, h, "d/", "x")
}

// Nothing is made where the cache directory is not: its disk may not be mounted.
func TestDirectoryGone(t *testing.T) {
	m := newMachine(t)
	if err := os.Remove(filepath.Join(m.dir, markerFile)); err != nil {
		t.Fatal(err)
	}
	h := m.open(nil).shelf("b")
	save(t, h, "d/", "a")
	h.Changing("d/x")
	m.pass(rest)
	save(t, h, "d/", "a")
	if entries, err := os.ReadDir(m.dir); len(entries) > 0 || err != nil {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// More than the queue holds is given up, and so is what the disk has no room for, or what would take half of all that
// may be kept.
func TestBounds(t *testing.T) {
	m := newMachine(t)
	h := m.open(func(c *Config) { c.Queue = 1000 }).shelf("b")
	add, end := h.Save("d/")
	if add("a", "a", make([]byte, 1001)) {
		t.Error("took more than the queue holds")
	}
	end(true)
	settle(h.store)
	want(t, h, "d/")

	h = m.open(func(c *Config) { c.MinFree = 1 << 60 }).shelf("b")
	save(t, h, "d/", "a")
	want(t, h, "d/")

	h = m.open(func(c *Config) { c.Limit = 1000 }).shelf("b")
	save(t, h, "d/", "a "+strings.Repeat("x", 500))
	want(t, h, "d/")
	if got := h.store.Stats(); got.Skipped != 1 || got.Errors != 0 {
		t.Errorf("%+v", got)
	}
	if got := m.warnings(); got != 0 {
		t.Errorf("warnings:\n%s", m.log.String())
	}
}

// All listings together take no more than they may, those that were used last stay, and what a killed process has left
// goes.
func TestLimit(t *testing.T) {
	m := newMachine(t)
	m.now = time.Now() // which is what files are stamped with
	h := m.open(func(c *Config) { c.Limit = 8 * diskBlock }).shelf("b")
	save(t, h, "first/", "a")
	left := filepath.Join(h.dir, "saving-1")
	if err := os.WriteFile(left, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		dir := fmt.Sprintf("%d/", i)
		save(t, h, dir, "a")
		at := old.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(h.file(dir), at, at); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Chtimes(h.file("first/"), old, old); err != nil {
				t.Fatal(err)
			}
		}
		if _, bytes, err := Usage(m.dir); bytes > 9*diskBlock || err != nil { // with the one that a killed process has left
			t.Fatalf("%d bytes, %v", bytes, err)
		}
	}
	want(t, h, "first/")
	want(t, h, "39/", "a")
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed process has left is there: %v", err)
	}
}

// Purge removes everything, also while a process uses it, and what that was about to keep.
func TestPurge(t *testing.T) {
	m := newMachine(t)
	h := m.open(func(c *Config) { c.Uptime, c.Boot = nil, "" }).shelf("b")
	if err := Purge(t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("purging what is no cache: %v", err)
	}
	save(t, h, "d/", "a")
	add, end := h.Save("e/")
	add("x", "x", []byte("x"))
	if err := Purge(m.dir); err != nil {
		t.Fatal(err)
	}
	end(true)
	settle(h.store)
	want(t, h, "d/")
	want(t, h, "e/")
	if n, _, err := Usage(m.dir); n != 0 || err != nil {
		t.Errorf("%d listings, %v", n, err)
	}
	save(t, h, "d/", "a")
	want(t, h, "d/", "a")
}

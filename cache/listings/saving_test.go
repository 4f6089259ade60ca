package listings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a killed process was writing goes when the directory is used next, and not what a living one is writing, which
// counts: what is written and what is kept take no more together than they may.
func TestWhatIsBeingWritten(t *testing.T) {
	m := newMachine(t)
	m.now = time.Now() // which is what files are stamped with
	limited := func(c *Config) { c.Limit = 16 * diskBlock }
	writing := m.open(limited).shelf("b")
	add, end := writing.Save("large/")
	add("a", "a", make([]byte, 5*diskBlock))
	settle(writing.store)
	left := filepath.Join(m.dir, namesDirectory, savingDirectory, "saving-1")
	if err := os.WriteFile(left, make([]byte, 10*diskBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	h := m.open(limited).shelf("b")
	settle(h.store)
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed process was writing is there: %v", err)
	}
	used := func() (n int64) {
		t.Helper()
		if err := h.store.exclusively(false, func(st *state) error { n = st.used; return nil }); err != nil {
			t.Error(err)
		}
		return n
	}
	for i := range 40 {
		save(t, h, fmt.Sprint(i, "/"), "a")
		_, bytes, err := Usage(m.dir)
		if got := used(); bytes > 16*diskBlock || got != bytes || err != nil {
			t.Fatalf("%d bytes, %d are counted, %v", bytes, got, err)
		}
	}
	end(true)
	settle(writing.store)
	if _, _, found := load(t, h, "large/", ""); !found {
		t.Error("what was being written all the time is not kept")
	}
	add, end = writing.Save("none/")
	add("a", "a", make([]byte, 5*diskBlock))
	end(false)
	settle(writing.store)
	if _, bytes, err := Usage(m.dir); bytes > 16*diskBlock || used() != bytes || err != nil {
		t.Errorf("%d bytes, %d are counted, %v", bytes, used(), err)
	}
	for i := range 4 { // each as much as one may have
		add, _ := writing.Save(fmt.Sprint("many", i, "/"))
		add("a", "a", make([]byte, 7*diskBlock))
	}
	settle(writing.store)
	if _, bytes, err := Usage(m.dir); bytes > 16*diskBlock || err != nil {
		t.Errorf("%d bytes are being written, %v", bytes, err)
	}
}

// Who looks for what is left while a listing is put in its place takes it for none, and does not fail: that would be a
// failure of the disk.
func TestPlacedWhileOthersTidy(t *testing.T) {
	m := newMachine(t)
	s := m.open(nil)
	saving := filepath.Join(s.dir(), savingDirectory)
	if err := s.makeDirectory(saving); err != nil {
		t.Fatal(err)
	}
	path, placed := filepath.Join(saving, "saving-1"), filepath.Join(s.dir(), "placed")
	for range 300 {
		file, err := os.Create(path)
		if err != nil || !isLocked(file) {
			t.Fatalf("cannot be locked: %v", err)
		}
		started, done := make(chan struct{}), make(chan error)
		go func() {
			close(started)
			for {
				left, err := removeLeft(path)
				if _, gone := os.Lstat(path); left || err != nil || gone != nil {
					if left {
						err = errors.Join(err, errors.New("it is taken for left"))
					}
					done <- err
					return
				}
			}
		}()
		<-started
		err = errors.Join(os.Rename(path, placed), file.Close())
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
	}
}

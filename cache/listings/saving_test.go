package listings

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a killed process was writing goes when the directory is used next, and not what a living one is writing, which counts: what is written and what is kept take no more together than they may.
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

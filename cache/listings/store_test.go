package listings

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// machine is what the stores of a test run on: a cache directory, clocks, and a log.
type machine struct {
	t   *testing.T
	dir string

	mu   sync.Mutex // guards what follows
	now  time.Time
	up   time.Duration
	boot string
	log  bytes.Buffer
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir(), now: time.Unix(1e9, 0), up: time.Hour, boot: "first"}
	if err := os.WriteFile(filepath.Join(m.dir, markerFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// pass lets time pass.
func (m *machine) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.up = m.now.Add(d), m.up+d
}

// Write implements io.Writer, for the log.
func (m *machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

func (m *machine) warnings() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Count(m.log.String(), "level=WARN")
}

// open is a process. The clock goes on with each look at it.
func (m *machine) open(change func(*Config)) *Store {
	cfg := Config{
		Dir: m.dir, MinFree: 1, Boot: m.boot, Log: slog.New(slog.NewTextHandler(m, nil)),
		Now:    func() time.Time { m.pass(time.Nanosecond); m.mu.Lock(); defer m.mu.Unlock(); return m.now },
		Uptime: func() time.Duration { m.pass(time.Nanosecond); m.mu.Lock(); defer m.mu.Unlock(); return m.up },
	}
	if change != nil {
		change(&cfg)
	}
	s := Open(cfg)
	m.t.Cleanup(s.Close)
	return s
}

func (s *Store) shelf(bucket string) *Shelf { return s.Of("store", bucket, 1, true) }

// save keeps blocks, each of which has the names in it, and waits for it.
func save(t *testing.T, h *Shelf, dir string, blocks ...string) {
	t.Helper()
	add, end := h.Save(dir)
	if add == nil {
		return
	}
	for _, b := range blocks {
		names := strings.Fields(b)
		add(names[0], names[len(names)-1], []byte(b))
	}
	end(true)
	settle(h.store)
}

// settle waits until the writer has done all that is queued: a mark in the queue is an end of a saving of nothing.
func settle(s *Store) {
	done := make(chan struct{})
	s.writer.mu.Lock()
	idle := !s.writer.running
	s.writer.mu.Unlock()
	if idle {
		return
	}
	s.writer.enqueue(s, job{do: func() { close(done) }})
	<-done
}

// load is what is found, and when it was asked for.
func load(t *testing.T, h *Shelf, dir, name string) (blocks []string, asked time.Time, found bool) {
	t.Helper()
	found, err := h.Load(dir, name, func(at time.Time, _ bool) bool { asked = at; return true }, func(b []byte) bool {
		blocks = append(blocks, string(b))
		return true
	})
	if err != nil {
		blocks = append(blocks, "damaged")
	}
	return blocks, asked, found
}

func want(t *testing.T, h *Shelf, dir string, blocks ...string) {
	t.Helper()
	got, _, found := load(t, h, dir, "")
	if found != (len(blocks) > 0) || fmt.Sprint(got) != fmt.Sprint(blocks) {
		t.Errorf("%q is %q (%v), want %q", dir, got, found, blocks)
	}
}

// What a process has kept the next finds, with the moment at which the store was asked, and a name by the blocks that
// may have it.
func TestKeptAcrossRestarts(t *testing.T) {
	m := newMachine(t)
	s := m.open(nil)
	save(t, s.shelf("b"), "d/", "a b c", "x y")
	save(t, s.shelf("b"), "d/e/", "z")
	m.pass(time.Minute)
	s.Close()
	h := m.open(nil).shelf("b")
	want(t, h, "d/", "a b c", "x y")
	want(t, h, "d/e/", "z")
	want(t, h, "")
	for name, blocks := range map[string]string{"b": "[a b c]", "bb": "[a b c]", "y": "[x y]", "d": "[]", "0": "[]"} {
		got, asked, found := load(t, h, "d/", name)
		if !found || fmt.Sprint(got) != blocks {
			t.Errorf("%s is in %q (%v), want %s", name, got, found, blocks)
		}
		if age := m.now.Sub(asked); age < time.Minute || age > time.Minute+time.Second {
			t.Errorf("it was asked for %v ago, not a minute", age)
		}
	}
	if got := h.store.Stats(); got.Hits != 7 || got.Misses != 1 {
		t.Errorf("%+v", got)
	}
}

// Listings are those of a store and a bucket, whoever has asked for them, and it is said where that was somebody else.
func TestWhoseTheyAre(t *testing.T) {
	m := newMachine(t)
	s := m.open(nil)
	save(t, s.Of("store", "b", 1, true), "d/", "a")
	want(t, s.Of("store", "other", 1, true), "d/")
	want(t, s.Of("elsewhere", "b", 1, true), "d/")
	want(t, s.Of("store", "b", 1, false), "d/")
	for reader, stranger := range map[uint64]bool{1: false, 2: true} {
		found, _ := s.Of("store", "b", reader, true).Load("d/", "", func(_ time.Time, other bool) bool {
			if other != stranger {
				t.Errorf("reader %d is a stranger: %v", reader, other)
			}
			return !other
		}, func([]byte) bool { return true })
		if found == stranger {
			t.Errorf("reader %d finds it: %v", reader, found)
		}
	}
}

// A listing is as old as the clock says, and at least as old as the machine has run since. Of a time that has not come
// yet, or of a start of the machine that nobody knows the length of, only what the clock says counts.
func TestClocks(t *testing.T) {
	m := newMachine(t)
	save(t, m.open(nil).shelf("b"), "d/", "a")
	m.pass(10 * time.Second)
	age := func() (time.Duration, bool) {
		_, asked, found := load(t, m.open(nil).shelf("b"), "d/", "")
		return m.now.Sub(asked).Round(time.Second), found
	}
	for _, c := range []struct {
		what  string
		set   time.Duration
		boot  string
		age   time.Duration
		found bool
	}{
		{"as it was", 0, "first", 10 * time.Second, true},
		{"clock set back", -time.Hour, "first", 10 * time.Second, true},
		{"clock set forward", 2 * time.Hour, "first", time.Hour + 10*time.Second, true},
		{"started again", 0, "second", time.Hour + 10*time.Second, true},
		{"started again with a clock that is behind", -2 * time.Hour, "second", 0, false},
	} {
		m.now, m.boot = m.now.Add(c.set), c.boot
		if got, found := age(); found != c.found || found && got != c.age {
			t.Errorf("%s: %v old (%v), want %v (%v)", c.what, got, found, c.age, c.found)
		}
	}
	m.boot, m.up, m.now = "first", time.Minute, m.now.Add(3*time.Hour)
	if _, found := age(); found {
		t.Error("found a listing of a time that the machine has not run for")
	}
}

// A listing that was asked for before a change is not found after it, whoever has made the change, and whenever the
// listing came to its end.
func TestChanges(t *testing.T) {
	m := newMachine(t)
	one, other := m.open(nil).shelf("b"), m.open(nil).shelf("b")
	reading := m.open(nil).Of("store", "b", 1, false)
	for _, by := range []*Shelf{one, other, reading} {
		m.pass(settling)
		for _, dir := range []string{"", "d/", "d/e/", "f/"} {
			save(t, one, dir, "a")
			want(t, other, dir, "a")
		}
		by.Changing("d/e/x")
		want(t, one, "")
		want(t, one, "d/")
		want(t, one, "d/e/")
		want(t, one, "f/", "a")

		add, end := one.Save("d/e/")
		add("a", "a", []byte("a"))
		by.Changing("d/e/x")
		end(true)
		settle(one.store)
		want(t, one, "d/e/")
		save(t, other, "d/e/", "a") // who makes the change may be killed before the store has made it
		want(t, one, "d/e/")
	}
	m.pass(settling)
	save(t, other, "d/e/", "x")
	want(t, one, "d/e/", "x")
}

// What is doubted is not found from then on, also before the disk was asked; what is asked for afterwards is.
func TestDoubt(t *testing.T) {
	m := newMachine(t)
	h := m.open(nil).shelf("b")
	save(t, h, "d/", "a")
	h.Doubt("d/")
	want(t, h, "d/")
	settle(h.store)
	want(t, m.open(nil).shelf("b"), "d/")
	save(t, h, "d/", "b")
	want(t, h, "d/", "b")
}

// A listing that is not whole is not kept, and leaves nothing.
func TestNotWhole(t *testing.T) {
	m := newMachine(t)
	h := m.open(nil).shelf("b")
	save(t, h, "d/", "a")
	add, end := h.Save("d/")
	add("x", "x", []byte("x"))
	end(false)
	settle(h.store)
	want(t, h, "d/", "a")
	add, _ = h.Save("e/")
	add("x", "x", []byte("x"))
	h.store.Close()
	if n, bytes, err := Usage(m.dir); n != 1 || bytes != diskBlock || err != nil {
		t.Errorf("%d listings, %d bytes, %v", n, bytes, err)
	}
}

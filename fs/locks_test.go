package fs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestLockSetRandom compares with a table of who holds which byte.
func TestLockSetRandom(t *testing.T) {
	const seed, bytes, owners = 2, 24, 3
	rnd := rand.New(rand.NewPCG(seed, seed))
	var set lockSet
	var held [bytes][owners]int // 0 none, 1 shared, 2 exclusive
	for range 5_000 {
		first := rnd.Uint64N(bytes)
		l := lock{first: first, last: first + rnd.Uint64N(bytes-first), exclusive: rnd.IntN(2) == 0, owner: rnd.Uint64N(owners)}
		kind := 1
		if l.exclusive {
			kind = 2
		}
		blocked := false
		for i := l.first; i <= l.last; i++ {
			for o, k := range held[i] {
				blocked = blocked || uint64(o) != l.owner && k+kind > 2 && k > 0
			}
		}
		if _, got := set.conflict(l); got != blocked {
			t.Fatalf("%+v: conflict %v, want %v, among %+v", l, got, blocked, set)
		}
		switch {
		case rnd.IntN(10) == 0:
			set = set.release(l.owner)
			for i := range held {
				held[i][l.owner] = 0
			}
			continue
		case rnd.IntN(2) == 0:
			set, kind = set.unlock(l), 0
		case blocked:
			continue
		default:
			set = set.lock(l)
		}
		for i := l.first; i <= l.last; i++ {
			held[i][l.owner] = kind
		}
		if !set.check() {
			t.Fatalf("invariant broken: %+v", set)
		}
	}
}

// TestLockTableWaits until what is in the way is given back, or the wait is ended, and keeps nothing afterwards.
func TestLockTableWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table lockTable
		n := nodeAt("a")
		exclusive := func(owner uint64) lock { return lock{node: n, last: lockEnd, exclusive: true, owner: owner} }
		if err := table.lock(t.Context(), true, exclusive(1)); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 2)
		go func() { got <- table.lock(t.Context(), true, exclusive(2)) }()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := table.lock(impatient, true, exclusive(3)); err != context.DeadlineExceeded {
			t.Errorf("a wait that is ended: %v", err)
		}
		synctest.Wait()
		if len(got) > 0 {
			t.Error("two hold it")
		}
		if _, blocked := table.test(false, exclusive(4)); blocked {
			t.Error("a flock is in the way of a lock of a range")
		}
		table.release(n, true, 1)
		if err := <-got; err != nil {
			t.Error(err)
		}
		table.release(n, true, 2)
		if table.len() != 0 {
			t.Errorf("%d paths are left", table.len())
		}
	})
}

// nodeAt makes a file with a key and no more.
func nodeAt(key string) *node {
	n := &node{}
	n.where.Store(&location{key: key})
	return n
}

// TestLocksGoWithTheirFile when it is renamed, and stay out of the way of who has its name afterwards: those that are
// held, and those that are waited for.
func TestLocksGoWithTheirFile(t *testing.T) {
	for name, change := range map[string]func(n *node){
		"renamed": func(n *node) { n.where.Store(&location{key: "b"}) },
		"removed": func(n *node) { n.id, n.removed = 7, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var table lockTable
				n, next, older := nodeAt("a"), nodeAt("a"), nodeAt("a")
				exclusive := func(n *node, owner uint64) lock { return lock{node: n, last: 9, exclusive: true, owner: owner} }
				other := lock{node: older, first: 20, last: 30, exclusive: true, owner: 9} // by a node of an earlier version, which keeps its name
				for _, l := range []lock{exclusive(n, 1), other} {
					if err := table.lock(t.Context(), false, l); err != nil {
						t.Fatal(err)
					}
				}
				got := make(chan error, 1)
				go func() { got <- table.lock(t.Context(), false, exclusive(n, 2)) }()
				synctest.Wait()
				table.move(n, func() { change(n) })
				synctest.Wait()
				if len(got) > 0 {
					t.Fatal("two hold it")
				}
				if _, blocked := table.test(false, lock{node: n, first: 25, last: 25, owner: 2}); !blocked {
					t.Error("what an earlier version's node has locked is forgotten")
				}
				if err := table.lock(t.Context(), false, lock{node: next, last: lockEnd, exclusive: true, owner: 3}); err != nil {
					t.Errorf("who has the name now: %v", err)
				}
				table.release(n, false, 1)
				if err := <-got; err != nil {
					t.Error(err)
				}
				table.release(n, false, 2)
				table.release(next, false, 3)
				table.unlock(false, other)
				if table.len() != 0 {
					t.Errorf("%d paths are left", table.len())
				}
			})
		})
	}
}

// TestWaitersGoWithTheirFile: who waits by a node of an earlier version waits for what is locked where the file is now,
// also in the directories below one that is renamed.
func TestWaitersGoWithTheirFile(t *testing.T) {
	for _, inDir := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var table lockTable
			dir, n, older := nodeAt("d/"), nodeAt("d/a"), nodeAt("d/a")
			dir.dir = true
			exclusive := func(n *node, owner uint64) lock { return lock{node: n, last: 9, exclusive: true, owner: owner} }
			if err := table.lock(t.Context(), false, exclusive(n, 1)); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() { got <- table.lock(t.Context(), false, exclusive(older, 2)) }()
			synctest.Wait()
			if inDir {
				table.move(dir, func() {
					for _, moved := range []*node{n, older} {
						moved.where.Store(&location{key: "e/a"})
					}
				})
			} else {
				table.move(n, func() { n.where.Store(&location{key: "d/b"}) })
			}
			synctest.Wait()
			if len(got) > 0 {
				t.Fatal("two hold it")
			}
			table.release(n, false, 1)
			if err := <-got; err != nil {
				t.Error(err)
			}
			if _, blocked := table.test(false, lock{node: n, last: 9, owner: 3}); !blocked {
				t.Error("what was waited for is not in the way of others")
			}
			table.release(older, false, 2)
			if table.len() != 0 {
				t.Errorf("%d paths are left", table.len())
			}
		})
	}
}

// TestFlockUpgrade: two that share and both want more get it one after the other.
func TestFlockUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table lockTable
		n := nodeAt("a")
		done := make(chan uint64)
		for owner := range uint64(2) {
			shared := lock{node: n, last: lockEnd, owner: owner}
			if err := table.lock(t.Context(), true, shared); err != nil {
				t.Fatal(err)
			}
		}
		for owner := range uint64(2) {
			go func() {
				if err := table.lock(t.Context(), true, lock{node: n, last: lockEnd, exclusive: true, owner: owner}); err != nil {
					t.Error(err)
				}
				table.release(n, true, owner)
				done <- owner
			}()
		}
		if first, second := <-done, <-done; first == second {
			t.Error("one got it twice")
		}
		if table.len() != 0 {
			t.Errorf("%d paths are left", table.len())
		}
	})
}

// TestFlockBetweenProcesses: shared and exclusive, tried and waited for, given back by close and by death.
func TestFlockBetweenProcesses(t *testing.T) {
	b := newFakeBucket()
	b.put("file", []byte("x"))
	cfg, _ := testConfig(t, b)
	s, dir := mounted(t, cfg, MountOptions{})
	file := filepath.Join(dir, "file")

	first, second := start(t, child("flock", file, "shared", "try")), start(t, child("flock", file, "shared", "try"))
	if got := run(t, child("flock", file, "exclusive", "try")); !strings.Contains(got, syscall.EAGAIN.Error()) {
		t.Errorf("exclusive beside shared: %q", got)
	}
	first.finish(t)
	second.gone(syscall.SIGKILL)
	holder := start(t, child("flock", file, "exclusive", "try"))
	if stats := s.Stats(); stats.Locks != 1 {
		t.Errorf("%d paths are locked", stats.Locks)
	}

	waiter := exec.Command("flock", file, "true") // waits, and has no handler for signals
	if err := waiter.Start(); err != nil {
		t.Fatal(err)
	}
	awaitWaiter(t, s)
	begun := time.Now()
	if err := waiter.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := waiter.Wait(); err == nil || time.Since(begun) > time.Minute {
		t.Errorf("a waiter that was killed: %v after %v", err, time.Since(begun))
	}
	patient := exec.Command("flock", file, "true")
	if err := patient.Start(); err != nil {
		t.Fatal(err)
	}
	awaitWaiter(t, s)
	holder.finish(t)
	if err := patient.Wait(); err != nil {
		t.Errorf("a waiter whose turn came: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); s.Stats().Locks > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// The kernel tells of what a process that has ended had open a while later, or not at all once it is unmounted.
	}
}

// awaitWaiter returns when somebody waits for a lock.
func awaitWaiter(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		waiting := 0
		s.fs.locks.mu.Lock()
		for _, p := range s.fs.locks.paths {
			waiting += len(p.waiting)
		}
		s.fs.locks.mu.Unlock()
		if waiting > 0 {
			return
		}
	}
	t.Fatal("nobody waits")
}

// TestRangeLocksBetweenProcesses: what fcntl takes, F_GETLK shows to others, and close gives back.
func TestRangeLocksBetweenProcesses(t *testing.T) {
	b := newFakeBucket()
	b.put("file", contentOf("file", 1000))
	cfg, _ := testConfig(t, b)
	_, dir := mounted(t, cfg, MountOptions{})
	file := filepath.Join(dir, "file")
	holder := start(t, child("range-lock", file, "100", "50"))
	if got := run(t, child("idle-lock", file)); got != fmt.Sprintln(true, 100, 50) {
		t.Errorf("in the way: %q", got)
	}
	holder.finish(t)
	for deadline := time.Now().Add(time.Minute); ; { // the kernel does not wait for the answer to a close
		got := run(t, child("idle-lock", file))
		if strings.HasPrefix(got, "false") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after close: %q", got)
		}
	}
}

package names

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// walkedStore is a store that is 20 ms away, and a tree over it by the bubble's clock.
type walkedStore struct {
	*fake
	*Tree
	mu      sync.Mutex // guards what is below
	now     int        // LISTs under way
	most    int
	tickets map[string]*objstore.Ticket // of the LISTs under way
	fail    string                      // LISTs of this prefix fail
}

var errBroken = errors.New("broken")

func newWalked(t *testing.T, ttl time.Duration, keys ...string) *walkedStore {
	s := &walkedStore{fake: newFake(keys...), tickets: make(map[string]*objstore.Ticket)}
	s.hook = func(ctx context.Context, request string) error {
		s.mu.Lock()
		s.now++
		s.most = max(s.most, s.now)
		s.tickets[request] = objstore.TicketFrom(ctx, objstore.ClassWarm)
		fail := request == "LIST "+s.fail
		s.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
		delete(s.tickets, request)
		if fail {
			return errBroken
		}
		return ctx.Err()
	}
	s.Tree = New(s.fake, Config{TTL: ttl, Now: time.Now})
	t.Cleanup(func() {
		s.Tree.check(t)
		s.Close()
		if stats := s.Foresight(); stats.Asked != stats.Used+stats.Wasted {
			t.Errorf("at the end: %+v", stats)
		}
	})
	return s
}

// directories are the keys of n directories of two files each.
func directories(parent string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%sdir-%03d/a", parent, i), fmt.Sprintf("%sdir-%03d/b", parent, i))
	}
	return keys
}

func dirName(i int) string { return fmt.Sprintf("d/dir-%03d/", i) }

// find walks through a tree, depth first, as find and os.walk do: it looks up each directory and reads it.
func (s *walkedStore) find(t *testing.T, dir string) (files int) {
	t.Helper()
	for _, item := range all(t, s.ReadDir(t.Context(), dir)) {
		if !item.Dir {
			files++
			continue
		}
		if _, err := s.Lookup(t.Context(), dir, item.Name); err != nil {
			t.Error(err)
		}
		files += s.find(t, item.Key)
	}
	return files
}

// listsOnce fails the test unless each of the directories was listed once, and nothing else asked.
func (s *walkedStore) listsOnce(t *testing.T, dirs int) {
	t.Helper()
	requests := s.take()
	if once := len(slices.Compact(slices.Clone(requests))); once != len(requests) || len(requests) != dirs {
		t.Errorf("%d requests, %d different ones, for %d directories: %q", len(requests), once, dirs, requests)
	}
	for _, r := range requests {
		if !strings.HasPrefix(r, "LIST ") || strings.HasSuffix(r, "(1)") {
			t.Errorf("%s", r)
		}
	}
}

// A walk through many directories costs one LIST for each, also when it takes longer than answers are good, and most of
// them are there when it comes to them.
func TestWalkIsListedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		s := newWalked(t, 100*time.Millisecond, directories("d/", n)...)
		began := time.Now()
		if files := s.find(t, "d/"); files != 2*n {
			t.Errorf("%d files", files)
		}
		took := time.Since(began)
		s.listsOnce(t, n+1)
		if stats := s.Foresight(); took < s.memory.ttl || took > n*20*time.Millisecond/8 || s.most > walkMost+1 || stats.Used < n-walkStart || stats.Wasted != 0 {
			t.Errorf("%v, %d at once, %+v", took, s.most, stats)
		}
	})
}

// In a deep tree, the directories below those that are walked through are listed ahead from the first on.
func TestWalkOfDeepTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, each = 20, 10
		var keys []string
		for i := range n {
			keys = append(keys, directories(dirName(i), each)...)
		}
		s := newWalked(t, time.Minute, keys...)
		began := time.Now()
		s.find(t, "d/")
		took := time.Since(began)
		s.listsOnce(t, 1+n+n*each)
		if stats := s.Foresight(); stats.Wasted != 0 || took > (1+n+n*each)*20*time.Millisecond/3 {
			t.Errorf("%v, %+v", took, stats)
		}
	})
}

// A program that takes its time for each directory has each listed once too: no more are ahead than it comes to, and
// what is listed whole and waits too long is not asked for again.
func TestSlowWalk(t *testing.T) {
	for name, pauses := range map[string][]time.Duration{
		"slow": {2 * time.Second}, "very slow": {15 * time.Second}, "halts": {time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 30
				s := newWalked(t, time.Hour, directories("d/", n)...)
				all(t, s.ReadDir(t.Context(), "d/"))
				for i := range n {
					all(t, s.ReadDir(t.Context(), dirName(i)))
					time.Sleep(pauses[i%len(pauses)])
				}
				s.listsOnce(t, n+1)
				if stats := s.Foresight(); name == "slow" && (stats.Wasted != 0 || stats.Used < n-2*walkStart) {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// A few directories that are read cost one LIST each, and a stat none.
func TestFewDirectoriesAreNoWalk(t *testing.T) {
	for name, read := range map[string][]int{"one": {0}, "the same": {3, 3, 3}, "apart": {0, 30, 10, 20, 39}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWalked(t, time.Minute, directories("d/", 40)...)
				all(t, s.ReadDir(t.Context(), "d/"))
				for _, i := range read {
					all(t, s.ReadDir(t.Context(), dirName(i)))
				}
				for i := range 20 {
					if _, err := s.Lookup(t.Context(), "d/", fmt.Sprintf("dir-%03d", i)); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				s.listsOnce(t, 1+len(slices.Compact(slices.Sorted(slices.Values(read)))))
			})
		})
	}
}

// walkTo reads the parent and its first directories, and waits until what that has listed ahead is here.
func (s *walkedStore) walkTo(t *testing.T, n int) {
	t.Helper()
	all(t, s.ReadDir(t.Context(), "d/"))
	for i := range n {
		all(t, s.ReadDir(t.Context(), dirName(i)))
	}
	time.Sleep(30 * time.Millisecond)
	s.take()
}

// When the walk stops, a few listings were for nothing, and nothing of them is left under way.
func TestWalkThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := directories("d/", 40)
		for i := range 3000 {
			keys = append(keys, fmt.Sprintf("d/dir-005/%04d", i)) // more than a page
		}
		s := newWalked(t, time.Second, keys...)
		s.walkTo(t, 4)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.Foresight(); got.Asked > walkAhead*3+2 || got.Used != 2 || got.Wasted != got.Asked-got.Used || len(s.foresight.ahead) != 0 {
			t.Errorf("%+v, %d ahead", got, len(s.foresight.ahead))
		}
		if l, ok := s.memory.listings.Peek(dirName(5)); !ok || !l.done || len(l.blocks) != 1 {
			t.Error("the large directory is still being listed")
		}
	})
}

// A listing that came ahead is of the moment at which it was asked for: it is believed for the TTL, and then asked for
// anew.
func TestListingAheadAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWalked(t, time.Second, directories("d/", 40)...)
		s.walkTo(t, 3)
		s.put(dirName(4)+"new", "etag")
		if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(3)))); len(got) != 2 {
			t.Errorf("%q", got)
		}
		if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(4)))); slices.Contains(got, "new") {
			t.Errorf("within the TTL: %q", got)
		}
		time.Sleep(time.Second)
		if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(4)))); !slices.Contains(got, "new") {
			t.Errorf("after the TTL: %q", got)
		}
		s.put(dirName(5)+"new", "etag")
		if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(5)))); !slices.Contains(got, "new") {
			t.Errorf("listed ahead, and after the TTL: %q", got)
		}
	})
}

// What this mount has changed is not shown as a listing ahead had it.
func TestListingAheadOfOwnChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWalked(t, time.Minute, directories("d/", 40)...)
		s.walkTo(t, 3)
		s.remove(dirName(3) + "a")
		s.Forget(dirName(3), "a")
		if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(3)))); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q", got)
		}
	})
}

// A listing under way ahead is in the class of what nobody waits for, until somebody reads the directory; it brings one
// page, and the others when they are wanted.
func TestListingAheadYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := directories("d/", 40)
		for i := range 2500 {
			keys = append(keys, fmt.Sprintf("d/dir-003/%04d", i))
		}
		s := newWalked(t, time.Minute, keys...)
		all(t, s.ReadDir(t.Context(), "d/"))
		all(t, s.ReadDir(t.Context(), dirName(0)))
		read := make(chan int)
		go func() { read <- len(all(t, s.ReadDir(t.Context(), dirName(1)))) }()
		synctest.Wait()
		ticket := s.tickets["LIST "+dirName(3)]
		if ticket == nil || ticket.Class() != objstore.ClassPrefetch {
			t.Fatalf("%v", ticket)
		}
		go func() { read <- len(all(t, s.ReadDir(t.Context(), dirName(3)))) }()
		synctest.Wait()
		if ticket.Class() != objstore.ClassMetadata {
			t.Errorf("with a reader: %v", ticket.Class())
		}
		if n := <-read + <-read; n != 2+2502 {
			t.Errorf("%d names", n)
		}
		requests := s.take()
		if pages := len(slices.DeleteFunc(requests, func(r string) bool { return r != "LIST "+dirName(3) })); pages != 3 {
			t.Errorf("%d pages", pages)
		}
	})
}

// A listing ahead that fails is nobody's failure, and ends the walk.
func TestListingAheadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWalked(t, time.Minute, directories("d/", 40)...)
		s.fail = dirName(4)
		s.walkTo(t, 3)
		asked := s.Foresight()
		if asked.Wasted != 1 {
			t.Errorf("%+v", asked)
		}
		s.mu.Lock()
		s.fail = ""
		s.mu.Unlock()
		for i := 3; i < 5; i++ {
			if got := namesOf(all(t, s.ReadDir(t.Context(), dirName(i)))); len(got) != 2 {
				t.Errorf("%q", got)
			}
		}
	})
}

// Where each listing is asked for, or there is no memory for them, none is ahead.
func TestNoListingAhead(t *testing.T) {
	for name, cfg := range map[string]Config{"no TTL": {}, "little memory": {TTL: time.Minute, MaxCached: 1000}} {
		f := newFake(directories("d/", 40)...)
		tree := New(f, cfg)
		for i := range 10 {
			all(t, tree.ReadDir(t.Context(), "d/"))
			all(t, tree.ReadDir(t.Context(), dirName(i)))
		}
		tree.Close()
		if stats := tree.Foresight(); stats.Asked != 0 {
			t.Errorf("%s: %+v", name, stats)
		}
	}
}

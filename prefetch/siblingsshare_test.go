package prefetch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// named walks n files of a directory.
func named(dir string, n int) func() Upcoming {
	return func() Upcoming { return &inDirectory{dir, numbered{n: n}} }
}

type inDirectory struct {
	dir string
	numbered
}

func (u *inDirectory) Next(n int) (versions []objstore.Version, more bool) {
	versions, more = u.numbered.Next(n)
	for i := range versions {
		versions[i] = fileOf(u.dir, versions[i].Key)
	}
	return versions, more
}

func fileOf(dir, name string) objstore.Version {
	return objstore.Version{Key: dir + "/" + name, ETag: "e", Size: 100}
}

// openMany opens the first n files of a directory.
func openMany(s *Siblings, dir string, n, of int) {
	for i := range n {
		s.Opened(dir, fileOf(dir, fmt.Sprint(i)), true, named(dir, of))
	}
}

// underWay counts what is under way in a directory.
func (s *Siblings) underWay(dir string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dirs[dir].pending)
}

// A directory that has all the requests there may be leaves half of them to another, one by one as they end.
func TestSiblingsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &spare{room: 1 << 20, asked: make(map[string]int), delay: time.Second}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		openMany(s, "large", 500, 5000)
		synctest.Wait()
		openMany(s, "small", 100, 5000)
		synctest.Wait()
		if large, small := s.underWay("large"), s.underWay("small"); large != siblingsAtOnce || small != 0 {
			t.Fatalf("%d and %d under way", large, small)
		}
		time.Sleep(src.delay)
		synctest.Wait()
		if large, small := s.underWay("large"), s.underWay("small"); large != siblingsAtOnce/2 || small != siblingsAtOnce/2 {
			t.Errorf("%d and %d under way once the first have come", large, small)
		}
	})
}

// endless is a listing of which nothing is wanted: its end never comes. It says when it is looked through.
type endless struct{ looked chan struct{} }

func (e endless) Next(int) ([]objstore.Version, bool) {
	select {
	case e.looked <- struct{}{}:
	default:
	}
	return []objstore.Version{{Key: "large", ETag: "e", Size: maxSibling + 1}}, true
}

// While a listing is looked through, however long it is, others can open files, and Close ends it.
func TestSiblingsLookThroughLongListings(t *testing.T) {
	s := NewSiblings(SiblingsConfig{Source: &spare{asked: make(map[string]int)}, TTL: -1, Now: func() time.Time { return time.Unix(1000, 0) }})
	looked := make(chan struct{}, 1)
	for i := range siblingsStart {
		s.Opened("dir", number(i), true, func() Upcoming { return endless{looked} })
	}
	<-looked
	s.Opened("other", number(1), true, func() Upcoming { return nil })
	<-looked
	s.Close()
}

// Another pass over a directory is walked from its start again, at once and not when the first is forgotten.
func TestSiblingsOfTheNextEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const files = 200
		src := &spare{room: 1 << 20, asked: make(map[string]int)}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		for epoch := range 3 {
			before := s.Stats()
			for i := range files {
				_, ahead, _ := s.Confirmed(t.Context(), "dir", fileOf("dir", fmt.Sprint(i)))
				s.Opened("dir", fileOf("dir", fmt.Sprint(i)), !ahead, named("dir", files))
				synctest.Wait()
			}
			if got := s.Stats(); got.Used-before.Used < files-siblingsStart-1 || got.Wasted != 0 {
				t.Errorf("epoch %d: %+v, before %+v", epoch, got, before)
			}
		}
	})
}

// A file that was ahead and could not be opened was not used.
func TestSiblingsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &spare{room: 1000, asked: make(map[string]int)}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		openMany(s, "dir", siblingsStart, 10)
		synctest.Wait()
		s.Lost("dir", fileOf("dir", "7"))
		s.Lost("dir", fileOf("dir", "1"))
		s.Lost("unknown", fileOf("dir", "8"))
		if got, want := s.Stats(), (SiblingsStats{Asked: 6, Wasted: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// No more directories are followed than there may be. Those in use keep their place, and one that is not gives it up.
func TestSiblingsOfManyDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &spare{room: 1 << 20, asked: make(map[string]int)}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		name := func(i int) string { return fmt.Sprint("dir-", i) }
		for i := range 3 * maxDirectories {
			openMany(s, name(i), siblingsStart, 10)
			synctest.Wait()
		}
		if got, want := s.Stats(), (SiblingsStats{Asked: 6 * maxDirectories}); got != want || len(s.dirs) != maxDirectories {
			t.Errorf("%d directories, %+v, want %+v", len(s.dirs), got, want)
		}
		time.Sleep(siblingsPause + time.Millisecond)
		openMany(s, name(5), 1, 10)
		openMany(s, "another", siblingsStart, 10)
		synctest.Wait()
		if len(s.dirs) != maxDirectories || s.dirs["another"] == nil || s.dirs[name(5)] == nil {
			t.Errorf("%d directories", len(s.dirs))
		}
	})
}

// unhurried is a store that takes a round trip for each request, as one that is far away does; it asks once for each
// file at a time.
type unhurried struct {
	trip time.Duration

	mu          sync.Mutex // guards what is below
	free        int        // files for which there is room
	held        map[objstore.Version]chan struct{}
	gets, heads int
}

// get brings a file, or waits for who does; fetched says that it was asked for here.
func (u *unhurried) get(v objstore.Version) (fetched bool) {
	u.mu.Lock()
	came, ok := u.held[v]
	if !ok {
		came = make(chan struct{})
		u.held[v] = came
		u.gets++
		u.mu.Unlock()
		time.Sleep(u.trip)
		close(came)
		return true
	}
	u.mu.Unlock()
	<-came
	return false
}

func (u *unhurried) FetchSpare(_ context.Context, v objstore.Version) (asked, full bool, err error) {
	u.mu.Lock()
	if _, ok := u.held[v]; ok || u.free == 0 {
		u.mu.Unlock()
		return false, !ok, nil
	}
	u.free--
	u.mu.Unlock()
	return u.get(v), false, nil
}

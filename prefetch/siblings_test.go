package prefetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
)

// TestSiblingsScripts runs testdata/siblings/*.script on the state machine and compares what it asks for, and its
// state, with the golden file. A script is lines of:
//
//	ttl DURATION       for how long an answer is believed; for ever unless said
//	open A B [step S]  the files of these numbers are opened, from A up to B; so many further on each time
//	lost, kept         files that are opened from now on have to be fetched all the same, or need not be again
//	wait DURATION      passes
//	fail               what is ahead does not come
//	end                nobody opens any more
//
// The files that are asked for are the next ones from number 0 on, after each line, and from 0 on again in each pass.
func TestSiblingsScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/siblings/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := playSiblings(t, string(text))
			golden := strings.TrimSuffix(path, ".script") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("run with -update and review the change; got:\n%s", got)
			}
		})
	}
}

func playSiblings(t *testing.T, script string) string {
	var out strings.Builder
	now, lost, next := time.Unix(1000, 0), false, fileID(0)
	s := newSiblings(-1, 1)
	for line := range strings.Lines(script) {
		out.WriteString(line)
		var word string
		var from, to, step fileID
		fmt.Sscan(line, &word)
		duration := func() time.Duration {
			d, err := time.ParseDuration(strings.Fields(line)[1])
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		switch word {
		case "ttl":
			s = newSiblings(duration(), 1)
		case "wait":
			now = now.Add(duration())
		case "lost", "kept":
			lost = word == "lost"
		case "fail":
			for id := range s.ahead {
				s.drop(id)
			}
		case "end":
			s.end()
		case "open":
			if n, _ := fmt.Sscanf(line, "open %d %d step %d", &from, &to, &step); n < 3 {
				step = 1
			}
			for id := from; id <= to; id += step {
				pass := s.pass
				if s.open(id, lost, now); s.pass != pass {
					next = 0
				}
				next = askSiblings(s, next, now)
				checkSiblings(t, s)
			}
		default:
			continue
		}
		checkSiblings(t, s)
		fmt.Fprintf(&out, "  next %d: %d ahead of %d at most, %d asked, %d used, %d wasted, stopped %v\n", next, len(s.ahead), s.limit, s.asked, s.used, s.wasted, s.stopped)
	}
	return out.String()
}

func askSiblings(s *siblings, next fileID, now time.Time) fileID {
	for s.want(now) > 0 {
		s.ask(next, now)
		next++
	}
	return next
}

// checkSiblings fails the test when an INVARIANT does not hold.
func checkSiblings(t *testing.T, s *siblings) {
	t.Helper()
	if len(s.ahead) > maxSiblings || len(s.seen) > maxSeen || len(s.again) >= siblingsStart || s.asked != int64(len(s.ahead))+s.used+s.wasted {
		t.Fatalf("%d ahead, %d seen, %d asked, %d used, %d wasted", len(s.ahead), len(s.seen), s.asked, s.used, s.wasted)
	}
	for id := range s.ahead {
		if _, ok := s.seen[id]; !ok {
			t.Fatalf("file %d is ahead and was not seen", id)
		}
	}
}

// What is remembered of a directory is bounded, however many names it has.
func TestSiblingsOfManyNames(t *testing.T) {
	s, now, next := newSiblings(-1, 1), time.Unix(1000, 0), fileID(0)
	for id := range fileID(10 * maxSeen) {
		s.open(id, false, now)
		next = askSiblings(s, next, now)
	}
	checkSiblings(t, s)
	if s.used < 9*maxSeen {
		t.Errorf("%d of %d files read in order were ahead", s.used, s.opens)
	}
}

// spare is a Spare that has room for some files, and answers when it is let.
type spare struct {
	mu    sync.Mutex
	room  int
	err   error
	asked map[string]int
	most  int
	now   int
	delay time.Duration

	tickets map[string]*objstore.Ticket // of what was asked, unless nil
}

func (s *spare) FetchSpare(ctx context.Context, v objstore.Version) (asked, full bool, err error) {
	s.mu.Lock()
	if s.room == 0 {
		s.mu.Unlock()
		return false, true, nil
	}
	s.room--
	s.asked[v.Key]++
	if s.tickets != nil {
		s.tickets[v.Key] = objstore.TicketFrom(ctx, objstore.ClassWarm)
	}
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	if s.delay > 0 { // a timer of no time crashes Go 1.26 now and then, in a bubble and with the race detector
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	return true, false, errors.Join(err, s.err)
}

// numbered are files 0, 1 and so on, n of them.
type numbered struct{ next, n int }

func (u *numbered) Next(n int) (versions []objstore.Version, more bool) {
	for ; n > 0 && u.next < u.n; n, u.next = n-1, u.next+1 {
		versions = append(versions, number(u.next))
	}
	return versions, u.next < u.n
}

func number(i int) objstore.Version {
	return objstore.Version{Key: fmt.Sprint(i), ETag: "e", Size: 100}
}

// Files are brought once each, within room and the bound on requests, and Close ends what is under way.
func TestSiblingsFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &spare{room: 700, asked: make(map[string]int), delay: 20 * time.Millisecond}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		walk := func() Upcoming { return &numbered{n: 1000} }
		for i := range 3 {
			s.Opened("dir", number(i), true, walk)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.Stats(); got.Asked != 0 {
			t.Errorf("3 files opened have %d more brought", got.Asked)
		}
		s.Opened("dir", number(3), true, walk)
		synctest.Wait()
		began := time.Now()
		if asked, ok, err := s.Confirmed(t.Context(), "dir", number(10)); !ok || err != nil || !asked.Equal(began) || time.Since(began) != src.delay {
			t.Errorf("a file under way: asked %v, %v, %v, after %v", asked.Sub(began), ok, err, time.Since(began))
		}
		for i := 4; i < 300; i++ {
			s.Opened("dir", number(i), false, walk)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if src.room != 0 || src.most != siblingsAtOnce {
			t.Errorf("room for %d left, %d at once", src.room, src.most)
		}
		for key, n := range src.asked {
			if n != 1 {
				t.Errorf("%s was asked for %d times", key, n)
			}
		}
		if got := s.Stats(); got.Asked != 700 {
			t.Errorf("%+v with room for 700", got)
		}
		src.mu.Lock()
		src.room, src.delay = 1000, time.Hour
		src.mu.Unlock()
		s.Opened("dir", number(300), false, walk)
		synctest.Wait()
		s.Close()
		if src.now != 0 {
			t.Errorf("%d under way after Close", src.now)
		}
	})
}

// What did not come is not taken for an answer of the store, and is counted.
func TestSiblingsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &spare{room: 1000, asked: make(map[string]int), err: objstore.ErrChanged}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		for i := range siblingsStart {
			s.Opened("dir", number(i), true, func() Upcoming { return &numbered{n: 10} })
		}
		synctest.Wait()
		if _, ok, err := s.Confirmed(t.Context(), "dir", number(5)); ok || err != nil {
			t.Errorf("a file that has changed: confirmed %v, %v", ok, err)
		}
		if got, want := s.Stats(), (SiblingsStats{Asked: 6, Wasted: 6}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// An open that comes while its file is under way has its GET go as what somebody demands, gets its error, and may give
// up waiting; what was given up for another reason is no answer.
func TestSiblingsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := make(map[string]*objstore.Ticket)
		src := &spare{room: 1000, asked: make(map[string]int), delay: time.Minute, err: objstore.ErrChanged, tickets: tickets}
		s := NewSiblings(SiblingsConfig{Source: src, TTL: -1, Now: time.Now})
		defer s.Close()
		for i := range siblingsStart {
			s.Opened("dir", number(i), true, func() Upcoming { return &numbered{n: 10} })
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok, err := s.Confirmed(impatient, "dir", number(5)); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v, %v", ok, err)
		}
		for key, want := range map[string]objstore.Class{"5": objstore.ClassDemand, "6": objstore.ClassPrefetch} {
			if got := tickets[key].Class(); got != want {
				t.Errorf("file %s is of class %v, want %v", key, got, want)
			}
		}
		if _, ok, err := s.Confirmed(t.Context(), "dir", number(6)); ok || !errors.Is(err, objstore.ErrChanged) {
			t.Errorf("changed: %v, %v", ok, err)
		}
		for i := range siblingsStart {
			s.Opened("other", number(i), true, func() Upcoming { return &numbered{n: 10} })
		}
		synctest.Wait()
		go s.Close()
		if _, ok, err := s.Confirmed(t.Context(), "other", number(7)); ok || err != nil {
			t.Errorf("ended: %v, %v", ok, err)
		}
	})
}

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore/cwsim"
)

// hedges are the counters of second GETs.
type hedges struct{ tries, wins, denied float64 }

func (m *mount) hedges() hedges {
	const tries, wins, denied = "headrace_hedge_tries_total", "headrace_hedge_wins_total", "headrace_hedge_denied_total"
	c := m.counters(tries, wins, denied)
	return hedges{c[tries], c[wins], c[denied]}
}

// A GET in a hundred stalls for ten seconds, and no reader waits for it; without the budget for it, readers do. On a
// busy machine ordinary reads look slow too and use the budget up: a stall that finds nothing left of it is counted as
// denied.
func TestHedgedReads(t *testing.T) {
	const files, stall = 350, 10 * time.Second
	for name, budget := range map[string]string{"default": "2", "off": "0"} {
		t.Run(name, func(t *testing.T) {
			read, off := files, budget == "0"
			if off {
				read = 120 // one stall is enough to wait for
			}
			l := newLota(t, cwsim.Options{RequestCost: 10 * time.Millisecond, StallEvery: 100, StallTime: stall})
			path := func(i int) string { return fmt.Sprintf("%04d/file", i) } // alone in its directory: what is read ahead could have a second GET stall too
			for i := range files {
				l.put(path(i), 32<<10)
			}
			m := l.mount("http://cwlota.com", "--hedge-budget="+budget)
			slow := 0
			for i := range read {
				begun := time.Now()
				if got, err := os.ReadFile(filepath.Join(m.dir, path(i))); err != nil || len(got) != 32<<10 {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if time.Since(begun) >= stall {
					slow++
				}
			}
			h := m.hedges()
			switch {
			case off && (slow == 0 || h.tries != 0):
				t.Errorf("%d reads of %d waited for a stalled GET, should be 1 or more; %+v", slow, read, h)
			case !off && (slow > 0 && h.denied == 0 || h.wins < 1 || h.tries < h.wins || h.tries > 0.02*files):
				t.Errorf("%d reads of %d waited for a stalled GET; %+v", slow, read, h)
			}
		})
	}
}

// With a GET in a hundred stalling for ten seconds, all but one in a thousand reads of a mount take less than ten times
// the median, within the budget (which a busy machine may use up: those that it has nothing left for are counted as
// denied). A machine that halts for a second makes reads slow that no second GET can help, so one of three rounds has
// to do.
func TestHedgedPercentile(t *testing.T) {
	const readers, perReader, rounds = 16, 75, 3
	l := newLota(t, cwsim.Options{RequestCost: 100 * time.Millisecond, StallEvery: 100, StallTime: 10 * time.Second})
	path := func(round, reader, i int) string { return fmt.Sprintf("%d-%02d-%03d/file", round, reader, i) } // alone in its directory: nothing is read ahead
	for n := range rounds * readers * perReader {
		l.put(path(n/perReader/readers, n/perReader%readers, n%perReader), 32<<10)
	}
	m := l.mount("http://cwlota.com")
	held := false
	for round := 0; round < rounds && !held; round++ {
		before := m.hedges()
		times := readTimes(t, readers, perReader, func(reader, i int) string { return filepath.Join(m.dir, path(round, reader, i)) })
		slices.Sort(times)
		median, p999 := times[len(times)/2], times[len(times)*999/1000]
		fast, _ := slices.BinarySearch(times, 10*median)
		h := m.hedges()
		t.Logf("p99.9 is %v, the median %v; %d reads took 10 times as long; %+v", p999, median, len(times)-fast, h)
		held = float64(len(times)-fast) <= float64(len(times))/1000+h.denied-before.denied
	}
	if !held {
		t.Error("more than one in a thousand took 10 times the median")
	}
	gets := float64(len(l.keys(0, reads)))
	if h := m.hedges(); h.wins < 1 || h.tries > 0.02*(gets-h.tries)+1 {
		t.Errorf("of %v GETs: %+v", gets, h)
	}
}

// readTimes are how long it takes to read files of 32 KiB whose names are known.
func readTimes(t *testing.T, readers, perReader int, path func(reader, i int) string) []time.Duration {
	times := make([]time.Duration, readers*perReader)
	var all sync.WaitGroup
	for reader := range readers {
		all.Go(func() {
			for i := range perReader {
				name := path(reader, i)
				if _, err := os.Stat(name); err != nil { // the name is no part of the read
					t.Error(err)
				}
				begun := time.Now()
				if got, err := os.ReadFile(name); err != nil || len(got) != 32<<10 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				times[reader*perReader+i] = time.Since(begun)
			}
		})
	}
	all.Wait()
	return times
}

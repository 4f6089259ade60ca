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

// A GET in a hundred stalls for ten seconds, and no reader waits for it; without the budget for it, readers do.
func TestHedgedReads(t *testing.T) {
	const files, stall = 350, 10 * time.Second
	for name, c := range map[string]struct {
		budget string
		slow   int // reads that wait for a stall
	}{"default": {"2", 0}, "off": {"0", 1}} {
		t.Run(name, func(t *testing.T) {
			read := files
			if c.slow > 0 {
				read = 120 // one stall is enough to wait for
			}
			l := newLota(t, cwsim.Options{RequestCost: time.Millisecond, StallEvery: 100, StallTime: stall})
			path := func(i int) string { return fmt.Sprintf("%04d/file", i) } // alone in its directory: what is read ahead could have a second GET stall too
			for i := range files {
				l.put(path(i), 32<<10)
			}
			m := l.mount("http://cwlota.com", "--hedge-budget="+c.budget)
			slow := 0
			for i := range read {
				begun := time.Now()
				if got, err := os.ReadFile(filepath.Join(m.dir, path(i))); err != nil || len(got) != 32<<10 {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if time.Since(begun) > stall/2 {
					slow++
				}
			}
			if slow != c.slow {
				t.Errorf("%d reads of %d waited for a stalled GET, want %d", slow, read, c.slow)
			}
			const triesName, winsName = "headrace_hedge_tries_total", "headrace_hedge_wins_total"
			counted := m.counters(triesName, winsName)
			tries, wins := counted[triesName], counted[winsName]
			if c.slow == 0 && (wins < 3 || tries < wins || tries > files/50) || c.slow > 0 && tries != 0 {
				t.Errorf("%v second GETs, of which %v won", tries, wins)
			}
		})
	}
}

// With a GET in a hundred stalling for ten seconds, all but one in a thousand reads of a mount take less than ten times the median, within the budget.
func TestHedgedPercentile(t *testing.T) {
	const readers, perReader = 16, 75
	l := newLota(t, cwsim.Options{RequestCost: 40 * time.Millisecond, StallEvery: 100, StallTime: 10 * time.Second})
	path := func(reader, i int) string { return fmt.Sprintf("%02d-%03d/file", reader, i) } // alone in its directory: nothing is read ahead
	for reader := range readers {
		for i := range perReader {
			l.put(path(reader, i), 32<<10)
		}
	}
	m := l.mount("http://cwlota.com")
	times := make([]time.Duration, readers*perReader)
	var all sync.WaitGroup
	for reader := range readers {
		all.Go(func() {
			for i := range perReader {
				name := filepath.Join(m.dir, path(reader, i))
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
	slices.Sort(times)
	median, p999 := times[len(times)/2], times[len(times)*999/1000]
	counted := m.counters("headrace_hedge_tries_total", "headrace_hedge_wins_total")
	if p999 >= 10*median {
		t.Errorf("p99.9 is %v, the median %v; %v", p999, median, counted)
	}
	gets := len(l.keys(0, reads))
	if tries := counted["headrace_hedge_tries_total"]; counted["headrace_hedge_wins_total"] < 5 || tries > 0.02*float64(gets)-0.02*tries {
		t.Errorf("of %d GETs: %v", gets, counted)
	}
	t.Logf("p99.9 is %v, the median %v; %v", p999, median, counted)
}

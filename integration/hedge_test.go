package integration

import (
	"fmt"
	"os"
	"path/filepath"
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
			for i := range files {
				l.put(fmt.Sprintf("set/%04d", i), 32<<10)
			}
			m := l.mount("http://cwlota.com", "--hedge-budget="+c.budget)
			slow := 0
			for i := range read {
				begun := time.Now()
				if got, err := os.ReadFile(filepath.Join(m.dir, "set", fmt.Sprintf("%04d", i))); err != nil || len(got) != 32<<10 {
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

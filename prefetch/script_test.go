package prefetch

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// TestScripts runs the scripts of reads in testdata/*.script on the state machine and compares what it asks for, and
// its state after each read, with the golden file beside it. A script is lines of:
//
//	file SIZE [fits]     the file; first line
//	budget SIZE          for all lanes together; 1G unless said
//	lanes N              so many lanes share the budget already
//	read OFF LEN [xN]    N reads one after another, each done before the next
//	start OFF LEN        a read that stays under way
//	end N                the read started N-th (from 1) is done
//	accept SIZE          the source takes so much of what is asked ahead from now on; "all" again
//	latency DURATION     is what a read takes that misses from now on; 20ms unless said
//	prompt               reads find their bytes here from now on; "late" has them wait again
//	evict                the source loses what it has
//	wait DURATION        passes, and idle lanes are looked for
//
// The asks shown are those that bring new bytes, that is the GETs they cost.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".script")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
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

// player runs one script.
type player struct {
	t       *testing.T
	out     strings.Builder
	w       *window
	now     time.Time
	budget  int64
	lanes   int64
	accept  int64 // -1 for all
	latency time.Duration
	prompt  bool
	have    map[int64]bool
	started []int64
}

func runScript(t *testing.T, script string) string {
	p := &player{t: t, now: time.Unix(1000, 0), budget: 1 << 30, accept: -1, latency: 20 * time.Millisecond, have: make(map[int64]bool)}
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			fmt.Fprintln(&p.out, line)
			continue
		}
		fmt.Fprintf(&p.out, "> %s\n", line)
		p.do(strings.Fields(line))
		if p.w != nil {
			check(t, p.w)
		}
	}
	return p.out.String()
}

func (p *player) do(word []string) {
	arg := func(i int) int64 { return parseSize(p.t, word[i]) }
	switch word[0] {
	case "budget":
		p.budget = arg(1)
	case "lanes":
		p.lanes = arg(1)
	case "file":
		p.w = newWindow(arg(1), p.budget)
		p.w.setFits(len(word) > 2)
	case "read":
		n, off := 1, arg(1)
		if len(word) > 3 {
			n, _ = strconv.Atoi(word[3][1:])
		}
		for range n {
			lane, missed := p.read(off, arg(2))
			p.w.done(lane, outcome{at: p.now, took: p.latency, missed: missed, waited: !p.prompt})
			off += arg(2)
		}
		p.state()
	case "prompt", "late":
		p.prompt = word[0] == "prompt"
	case "start":
		lane, _ := p.read(arg(1), arg(2))
		p.started = append(p.started, lane)
		p.state()
	case "end":
		p.w.done(p.started[arg(1)-1], outcome{at: p.now, took: p.latency, missed: true, waited: true})
		p.state()
	case "accept":
		p.accept = -1
		if word[1] != "all" {
			p.accept = arg(1)
		}
	case "latency":
		p.latency = p.duration(word[1])
	case "evict":
		clear(p.have)
	case "wait":
		p.now = p.now.Add(p.duration(word[1]))
		p.w.idle(p.now.Add(-idleAfter))
		p.state()
	default:
		p.t.Fatalf("no such command: %s", word[0])
	}
}

func (p *player) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *player) read(off, n int64) (lane int64, missed bool) {
	p.now = p.now.Add(time.Millisecond)
	r := objstore.Range{Off: off, Len: n}.Intersect(objstore.Range{Len: int64(p.w.grid)})
	lane = p.w.read(r, allot(p.budget, p.lanes+p.w.active()), p.now)
	check(p.t, p.w)
	for _, a := range p.w.asks {
		accepted, started := p.fetch(a)
		missed = missed || started > 0 && a.class == objstore.ClassDemand
		if started > 0 {
			kind := fmt.Sprintf("%s %s from %s", a.class, showRange(a.Range), showSize(a.first))
			if a.class != objstore.ClassDemand {
				kind = fmt.Sprintf("%s %s", a.class, showRange(a.Range))
			}
			fmt.Fprintf(&p.out, "  %s: %s for %d\n", kind, showSize(started), a.prediction)
		}
		if !p.w.answered(a, accepted, started) {
			fmt.Fprintf(&p.out, "  %s: accepted %s\n", showRange(a.Range), showSize(accepted))
			break
		}
	}
	p.w.asks = p.w.asks[:0]
	return lane, missed
}

// fetch is the source: it has what it was asked for, in whole blocks.
func (p *player) fetch(a ask) (accepted, started int64) {
	for off := a.Off; off < a.End(); off = down(off, BlockSize) + BlockSize {
		n := min(down(off, BlockSize)+BlockSize, a.End()) - off
		if p.accept >= 0 && accepted+n > p.accept && a.class != objstore.ClassDemand {
			break
		}
		accepted += n
		if !p.have[off/BlockSize] {
			p.have[off/BlockSize] = true
			started += n
		}
	}
	return accepted, started
}

// state prints what the last line has led to: at most the three lanes read last.
func (p *player) state() {
	lanes := p.w.lanes
	least := p.w.tick - 3
	more := 0
	for i := range lanes {
		l := &lanes[i]
		if l.tick <= least && len(lanes) > 4 {
			more++
			continue
		}
		kind := "new"
		switch {
		case l.sequential && l.resting():
			kind = "resting"
		case l.sequential:
			kind = "sequential to " + showSize(l.asked)
		case l.small:
			kind = "small"
		}
		fmt.Fprintf(&p.out, "  lane %d: %s..%s %s", l.id, showSize(l.start), showSize(l.pos), kind)
		if l.reading > 0 {
			fmt.Fprintf(&p.out, ", %d reading", l.reading)
		}
		fmt.Fprintln(&p.out)
	}
	if more > 0 {
		fmt.Fprintf(&p.out, "  and %d more\n", more)
	}
	if p.w.random() {
		fmt.Fprintln(&p.out, "  random")
	}
	if len(p.w.ended) > 0 {
		fmt.Fprintf(&p.out, "  ended %d\n", p.w.ended)
		p.w.ended = nil
	}
}

func parseSize(t *testing.T, text string) int64 {
	var sum int64
	for term := range strings.SplitSeq(text, "+") {
		number := strings.TrimRight(term, "KMG")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch strings.TrimPrefix(term, number) {
		case "K":
			n <<= 10
		case "M":
			n <<= 20
		case "G":
			n <<= 30
		}
		sum += n
	}
	return sum
}

func showSize(n int64) string {
	var terms []string
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 20, "M"}, {1 << 10, "K"}, {1, ""}} {
		if n >= unit.size {
			terms = append(terms, fmt.Sprint(n/unit.size)+unit.name)
			n %= unit.size
		}
	}
	if terms == nil {
		return "0"
	}
	return strings.Join(terms, "+")
}

func showRange(r objstore.Range) string { return "[" + showSize(r.Off) + "," + showSize(r.End()) + ")" }

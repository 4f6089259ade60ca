package names

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestWalkScripts runs testdata/walk/*.script on the state machine and compares how many directories it has listed
// ahead, and its state, with the golden file. A script is lines of:
//
//	ttl DURATION         for how long an answer is good; for ever unless said
//	every DURATION       passes before each directory that is read
//	read A B [step S]    the directories of these numbers are read, from A up to B; so many further on each time
//	wait DURATION        passes
//	fail                 a listing ahead fails
//	expire               nobody came to what is ahead
//
// Those that are listed ahead are the next ones after the one read last.
func TestWalkScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/walk/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := playWalk(t, string(text))
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

func playWalk(t *testing.T, script string) string {
	var out strings.Builder
	now, every := time.Unix(1000, 0), time.Millisecond
	last, name := -1, func(i int) string { return fmt.Sprint(i) }
	w := newWalk(-1)
	for line := range strings.Lines(script) {
		out.WriteString(line)
		words := strings.Fields(line)
		duration := func() time.Duration {
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		switch words[0] {
		case "ttl":
			w = newWalk(duration())
		case "every":
			every = duration()
		case "wait":
			now = now.Add(duration())
		case "fail":
			w.fail(name(last + 1))
		case "expire":
			for dir := range w.ahead {
				w.drop(dir)
			}
		case "read":
			from, to, step := 0, 0, 1
			_, _ = fmt.Sscanf(line, "read %d %d step %d", &from, &to, &step)
			for i := from; i <= to; i += step {
				now = now.Add(every)
				on := w.read(name(i), last < 0 || i > last && i <= last+nextWithin, now)
				last = i
				for next := i + 1; on && w.want() > 0; next++ {
					if _, ok := w.ahead[name(next)]; !ok {
						w.ask(name(next), now)
					}
				}
				w.check(t)
			}
		default:
			continue
		}
		w.check(t)
		fmt.Fprintf(&out, "  %d in a row, one in %v: %d ahead, %d asked, %d used, %d wasted\n", w.run, w.gap, len(w.ahead), w.asked, w.used, w.wasted)
	}
	return out.String()
}

// check runs the INVARIANT lines.
func (w *walk) check(tb testing.TB) {
	tb.Helper()
	if len(w.ahead) > walkMost || w.asked != int64(len(w.ahead))+w.used+w.wasted {
		tb.Errorf("%d ahead, %d asked, %d used, %d wasted", len(w.ahead), w.asked, w.used, w.wasted)
	}
}

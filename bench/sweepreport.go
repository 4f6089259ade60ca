package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/guptarohit/asciigraph"

	"github.com/headrace/headrace/objstore"
)

// SweepReport is what a sweep has measured.
type SweepReport struct {
	Endpoint string       `json:"endpoint"`
	CPUs     int          `json:"cpus"`
	Started  time.Time    `json:"started"`
	Curves   []SweepCurve `json:"curves"` // in the order in which they were measured
	Advice   []Advice     `json:"advice"`
}

// SweepCurve is one operation with more and more requests at once.
type SweepCurve struct {
	Operation string      `json:"operation"`
	Size      int64       `json:"size"`      // bytes of a GET or a PUT; 0 for others
	Steps     []SweepStep `json:"steps"`     // with ascending concurrency
	Collapsed bool        `json:"collapsed"` // the last step brought less than half of the best, or hung; more were not tried
}

// SweepStep is so many requests at once. Latencies are those of whole requests that succeeded, and zero when none did.
type SweepStep struct {
	Concurrency int     `json:"concurrency"`
	MiB         float64 `json:"mib_per_second"`
	PerSecond   float64 `json:"requests_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Requests    int64   `json:"requests"` // that succeeded
	Failed      int64   `json:"failed"`   // throttled ones included
	Throttled   int64   `json:"throttled"`
	Hanging     int     `json:"hanging"` // that were under way at the end, and of which nothing had moved for as long as the step takes
}

// hangs tells that the store serves hardly anybody any more. What it did before it came to that says nothing.
func (s SweepStep) hangs() bool { return 2*s.Hanging > s.Concurrency }

// Advice is a setting that the curves speak for.
type Advice struct {
	Flag   string `json:"flag"` // of `headrace mount`; "" for advice that is no flag
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

const (
	// nearBest is which part of the best is as good: the smallest number of requests that brings it is where latency is
	// least.
	nearBest = 0.95
	// stillGood is down to which part of the best more requests do no harm.
	stillGood = 0.90
	// aheadShare is how many times the bytes of the GETs under way the memory must have: half of it is for what is read
	// ahead.
	aheadShare = 2
)

// name is the curve for people.
func (c SweepCurve) name() string {
	if c.Size == 0 {
		return strings.ToUpper(c.Operation)
	}
	return strings.ToUpper(c.Operation) + " " + humanize.IBytes(uint64(c.Size))
}

// value is what of a step counts: bytes where any are moved, else requests; nothing of one that hangs.
func (c SweepCurve) value(s SweepStep) float64 {
	if s.hangs() {
		return 0
	}
	if c.Size > 0 {
		return s.MiB
	}
	return s.PerSecond
}

func (c SweepCurve) unit() string {
	if c.Size > 0 {
		return "MiB/s"
	}
	return "requests/s"
}

// best is the step that brought the most; the first of them.
func (c SweepCurve) best() SweepStep {
	var best SweepStep
	for _, s := range c.Steps {
		if c.value(s) > c.value(best) {
			best = s
		}
	}
	return best
}

// plateau is between how many requests the store is as good as at its best: from the smallest number that brings nearly
// all of it to the largest that still does. A dip in between is chance.
func (c SweepCurve) plateau() (from, to int) {
	most := c.value(c.best())
	for _, s := range c.Steps {
		if from == 0 && c.value(s) >= nearBest*most {
			from = s.Concurrency
		}
		if c.value(s) >= stillGood*most {
			to = s.Concurrency
		}
	}
	return from, to
}

// advise says what the curves speak for.
func advise(curves []SweepCurve) []Advice {
	var advice []Advice
	var large SweepCurve // the GETs most like those of a mount
	for _, c := range curves {
		if len(c.Steps) == 0 || c.value(c.best()) == 0 {
			continue
		}
		from, to := c.plateau()
		reason := fmt.Sprintf("%s: the best, %s %s, needs %d requests at once", c.name(), figure(c.value(c.best())), c.unit(), from)
		if last := c.Steps[len(c.Steps)-1].Concurrency; to < last {
			reason += fmt.Sprintf(", and lasts to %d", to)
		} else {
			reason += fmt.Sprintf(", and more were not found to be too many, up to %d", last)
		}
		advice = append(advice, Advice{Value: strconv.Itoa(from), Reason: reason})
		if c.Operation == SweepGet && (large.Steps == nil || near(c.Size) < near(large.Size)) {
			large = c
		}
	}
	if large.Steps == nil {
		return advice
	}
	from, to := large.plateau()
	if last := large.Steps[len(large.Steps)-1].Concurrency; to < last {
		advice = append(advice, Advice{"--max-concurrency", strconv.Itoa(to), fmt.Sprintf("with more the store does less; the limit finds what is best below it, from about %d on", from)})
	} else {
		advice = append(advice, Advice{"--max-concurrency", strconv.Itoa(max(last, defaultMost)), "nothing was found to be too many; the limit finds what is best below it"})
	}
	need := uint64(aheadShare * int64(from) * objstore.ChunkSize)
	return append(advice, Advice{"--memory", strings.ReplaceAll(humanize.IBytes(need), " ", ""), fmt.Sprintf("at least: half of it holds %d reads ahead of %s", from, humanize.IBytes(objstore.ChunkSize))})
}

// defaultMost is the default of --max-concurrency, which is no advice to go below when nothing speaks for it.
const defaultMost = 300

// near is how far a size is from what a mount asks for.
func near(size int64) float64 {
	return math.Abs(math.Log2(float64(size) / objstore.ChunkSize))
}

// WriteJSON writes the report for programs.
func (r *SweepReport) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the report for people: a table and a plot for each curve, and the advice.
func (r *SweepReport) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d CPUs\n", r.Endpoint, r.CPUs)
	for _, c := range r.Curves {
		if len(c.Steps) == 0 {
			continue
		}
		if err := c.write(w); err != nil {
			return err
		}
	}
	var err error
	for i, a := range r.Advice {
		if i == 0 {
			fmt.Fprintln(w)
		}
		if a.Flag == "" {
			_, err = fmt.Fprintf(w, "%s.\n", a.Reason)
		} else {
			_, err = fmt.Fprintf(w, "recommended: %s %s (%s)\n", a.Flag, a.Value, a.Reason)
		}
	}
	return err
}

func (c SweepCurve) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s\n", c.name())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "at once\tMiB/s\trequests/s\tp50 ms\tp99 ms\trequests\tfailed\tthrottled\t")
	for _, s := range c.Steps {
		fmt.Fprintf(t, "%d\t%s\t%s\t%.1f\t%.1f\t%d\t%d\t%d\t\n", s.Concurrency, figure(s.MiB), figure(s.PerSecond), s.P50, s.P99, s.Requests, s.Failed, s.Throttled)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch last := c.Steps[len(c.Steps)-1]; {
	case last.hangs():
		fmt.Fprintf(w, "ended here: the store hangs, %d of %d requests had no answer at the end\n", last.Hanging, last.Concurrency)
	case c.Collapsed:
		fmt.Fprintln(w, "ended here: less than half of the best")
	}
	if len(c.Steps) < 2 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", c.plot())
	return err
}

// plot draws the curve, its steps at equal distances.
func (c SweepCurve) plot() string {
	const height, perStep = 10, 6
	last := len(c.Steps) - 1
	var values []float64
	for _, s := range c.Steps {
		values = append(values, c.value(s))
	}
	return asciigraph.Plot(values,
		asciigraph.Height(height), asciigraph.Width(perStep*last+1), asciigraph.LowerBound(0), asciigraph.Precision(0),
		asciigraph.XAxisRange(0, float64(last)), asciigraph.XAxisTickCount(last+1),
		asciigraph.XAxisValueFormatter(func(x float64) string { return strconv.Itoa(c.Steps[min(int(math.Round(x)), last)].Concurrency) }),
		asciigraph.Caption(c.unit()+" by requests at once"))
}

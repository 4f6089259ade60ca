package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A sweep of a local server brings a step for each number of requests of each operation and size, and leaves nothing.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	what := SweepOptions{Sizes: []int64{16 * kib, 256 * kib}, Concurrency: []int{4, 1, 4}, Duration: 200 * time.Millisecond}
	report, err := Sweep(t.Context(), Options{Dir: dir}, what)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range report.Curves {
		names = append(names, c.name())
		for _, s := range c.Steps {
			if s.Requests == 0 || s.PerSecond <= 0 || s.P50 <= 0 || s.P99 < s.P50 || s.Failed != 0 || (s.MiB > 0) != (c.Size > 0) {
				t.Errorf("%s: %+v", c.name(), s)
			}
		}
		if !c.Collapsed && (len(c.Steps) != 2 || c.Steps[0].Concurrency != 1 || c.Steps[1].Concurrency != 4) {
			t.Errorf("%s: %+v", c.name(), c.Steps)
		}
	}
	if want := []string{"GET 16 KiB", "GET 256 KiB", "PUT 16 KiB", "PUT 256 KiB", "HEAD", "LIST"}; !slices.Equal(names, want) {
		t.Errorf("measured %q, want %q", names, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestSweepRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		what SweepOptions
	}{
		"an operation there is not":    {nil, SweepOptions{Operations: []string{"copy"}}},
		"writing beside what is there": {[]string{"key"}, SweepOptions{Operations: []string{SweepPut}}},
		"no requests":                  {nil, SweepOptions{Concurrency: []int{0, 1}}},
		"nothing to read":              {nil, SweepOptions{Sizes: []int64{0}}},
	} {
		if _, err := Sweep(t.Context(), Options{Bucket: "b", Keys: c.keys}, c.what); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sweepCurve is a curve of GETs with these steps.
func sweepCurve(size int64, steps ...SweepStep) SweepCurve {
	return SweepCurve{Operation: SweepGet, Size: size, Steps: steps}
}

func TestSweepAdvice(t *testing.T) {
	rises := []SweepStep{{Concurrency: 1, MiB: 10}, {Concurrency: 64, MiB: 600}, {Concurrency: 100, MiB: 620}}
	falls := append(slices.Clone(rises), SweepStep{Concurrency: 200, MiB: 570}, SweepStep{Concurrency: 300, MiB: 400}, SweepStep{Concurrency: 500, MiB: 250})
	for name, c := range map[string]struct {
		curves []SweepCurve
		want   []string // flags and values
		says   string
	}{
		"a plateau":             {[]SweepCurve{sweepCurve(16*mib, falls...)}, []string{"64", "--max-concurrency 200", "--memory 2.0GiB"}, "lasts to 200"},
		"no end in sight":       {[]SweepCurve{sweepCurve(16*mib, rises...)}, []string{"64", "--max-concurrency 300", "--memory 2.0GiB"}, "up to 100"},
		"the size of a mount's": {[]SweepCurve{sweepCurve(64*kib, rises...), sweepCurve(8*mib, falls...)}, []string{"64", "64", "--max-concurrency 200", "--memory 2.0GiB"}, "64 KiB"},
		"nothing was read":      {[]SweepCurve{sweepCurve(16*mib, SweepStep{Concurrency: 1})}, nil, ""},
		"nothing but requests":  {[]SweepCurve{{Operation: SweepHead, Steps: []SweepStep{{Concurrency: 8, PerSecond: 100}}}}, []string{"8"}, "100 requests/s"},
		"nothing at all":        {nil, nil, ""},
		"what hangs is no good": {[]SweepCurve{sweepCurve(16*mib, SweepStep{Concurrency: 64, MiB: 600}, SweepStep{Concurrency: 300, MiB: 590, Hanging: 299})}, []string{"64", "--max-concurrency 64", "--memory 2.0GiB"}, "lasts to 64"},
		"a dip is not the end":  {[]SweepCurve{sweepCurve(16*mib, SweepStep{Concurrency: 64, MiB: 600}, SweepStep{Concurrency: 80, MiB: 500}, SweepStep{Concurrency: 100, MiB: 590}, SweepStep{Concurrency: 200, MiB: 300})}, []string{"64", "--max-concurrency 100", "--memory 2.0GiB"}, "lasts to 100"},
	} {
		var got []string
		var reasons strings.Builder
		for _, a := range advise(c.curves) {
			got = append(got, strings.TrimSpace(a.Flag+" "+a.Value))
			reasons.WriteString(a.Reason + "\n")
		}
		if !slices.Equal(got, c.want) || !strings.Contains(reasons.String(), c.says) {
			t.Errorf("%s: %q, want %q; %s", name, got, c.want, reasons.String())
		}
	}
}

// What is printed has the figures, a plot with the numbers of requests below it, and the settings.
func TestSweepReport(t *testing.T) {
	c := sweepCurve(16*mib, SweepStep{Concurrency: 1, MiB: 80, PerSecond: 5, P50: 200, P99: 222, Requests: 15}, SweepStep{Concurrency: 64, MiB: 5000, PerSecond: 312, P50: 210, P99: 400, Requests: 900},
		SweepStep{Concurrency: 400, MiB: 2000, Throttled: 3, Failed: 4})
	c.Collapsed = true
	hanging := sweepCurve(mib, SweepStep{Concurrency: 64, MiB: 5000}, SweepStep{Concurrency: 800, MiB: 4999, Hanging: 700})
	hanging.Collapsed = true
	r := &SweepReport{Endpoint: "http://store", CPUs: 2, Curves: []SweepCurve{c, hanging}, Advice: advise([]SweepCurve{c})}
	var table, encoded bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&encoded)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://store", "GET 16 MiB", "5000", "222.0", "┬", "MiB/s by requests at once", "less than half", "the store hangs, 700 of 800", "recommended: --max-concurrency 64"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	var back SweepReport
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || !slices.Equal(back.Curves[0].Steps, c.Steps) || len(back.Advice) != 3 {
		t.Errorf("%v in %s", err, encoded.String())
	}
}

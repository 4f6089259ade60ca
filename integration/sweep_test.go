package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
)

// A sweep of the simulated store finds where it is best, ends where it collapses, and leaves nothing in the bucket.
func TestSweep(t *testing.T) {
	l := newLota(t, cwsim.Options{Model: cwsim.Measured(64 << 20)})
	out := l.run(0, "", "bench", "sweep", "s3://"+lotaBucket, "--endpoint=http://cwlota.com",
		"--operation=get", "--size=256KiB", "--concurrency=8,64,150,400,600,900", "--duration=2s", "--json")
	var report struct {
		Curves []struct {
			Steps []struct {
				Concurrency int     `json:"concurrency"`
				MiB         float64 `json:"mib_per_second"`
			} `json:"steps"`
			Collapsed bool `json:"collapsed"`
		} `json:"curves"`
		Advice []struct{ Flag, Value string } `json:"advice"`
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &report); err != nil || len(report.Curves) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if c := report.Curves[0]; !c.Collapsed || c.Steps[len(c.Steps)-1].Concurrency > 600 {
		t.Errorf("the store gives a third of its best at 600, and the sweep goes on: %+v", c)
	}
	advised := map[string]string{}
	for _, a := range report.Advice {
		advised[a.Flag] = a.Value
	}
	if advised["--max-concurrency"] != "150" || advised["--memory"] == "" {
		t.Errorf("of 8, 64, 150 and 400, the last that is as good as the best is 150: %+v; %+v", report.Advice, report.Curves)
	}
	for page, err := range l.Bucket(lotaBucket).List(t.Context(), objstore.ListOptions{}) {
		if err != nil || len(page.Entries) != 0 {
			t.Errorf("left in the bucket: %v, %v", page.Entries, err)
		}
	}
}

package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func latencies(n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(i+1) * time.Millisecond
	}
	return out
}

func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		n        int
		p50, p99 time.Duration
	}{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {100, 51, 100}, {1000, 501, 991}} {
		m := measured{latencies: latencies(c.n)}
		if p50, p99 := m.percentile(0.5), m.percentile(0.99); p50 != c.p50*time.Millisecond || p99 != c.p99*time.Millisecond {
			t.Errorf("of %d: %v, %v", c.n, p50, p99)
		}
	}
}

func TestRow(t *testing.T) {
	raw := measured{bytes: 2 * gib, reads: 400, elapsed: 2 * time.Second, cpu: time.Second, latencies: latencies(100)}
	mount := measured{bytes: gib, reads: 100, elapsed: 2 * time.Second, cpu: time.Second / 2, latencies: latencies(10)}
	used := spent{cpu: 3 * time.Second, peakRSS: 100 * mib, requests: 64, fetched: gib + gib/2}
	for _, c := range []struct {
		kind       kind
		unit       string
		raw, mount float64
		ratio      float64
	}{
		{kindSequential, "MiB/s", 1024, 512, 0.5},
		{kindRandom, "IOPS", 200, 50, 0.25},
		{kindFiles, "files/s", 200, 50, 0.25},
		{kindFirstByte, "ms", 51, 6, 6.0 / 51},
	} {
		r := row(workload{name: "x", kind: c.kind}, raw, mount, used)
		if r.Unit != c.unit || r.Reference != c.raw || r.Mount != c.mount || r.Ratio != c.ratio {
			t.Errorf("%+v", r)
		}
		if r.ReferenceCPU != 0.5 || r.ReaderCPU != 0.5 || r.DaemonCPU != 3 || r.FetchedPerRead != 1.5 || r.Requests != 64 {
			t.Errorf("%+v", r)
		}
	}
	// A workload that should have been through by itself says which side was not.
	mount.cut = true
	for kind, want := range map[kind]bool{kindSequential: true, kindMapped: true, kindFiles: true, kindRandom: false} {
		if r := row(workload{name: "x", kind: kind}, raw, mount, used); r.ReferenceCut || r.MountCut != want {
			t.Errorf("kind %d: %+v", kind, r)
		}
	}
	// What was not measured is zero, and never not a number.
	if r := row(workload{name: "idle"}, measured{}, measured{}, spent{peakRSS: 1}); r != (Row{Workload: "idle", PeakRSS: 1}) {
		t.Errorf("%+v", r)
	}
}

func TestReport(t *testing.T) {
	r := &Report{Endpoint: "http://e", CPUs: 2, Size: 2 * gib, FirstByte: 20 * time.Millisecond, Rate: 80 * mib, Rows: []Row{
		{Workload: "sequential-1", Unit: "MiB/s", Against: "raw client", Reference: 1234.5, Mount: 617.25, Ratio: 0.5, Requests: 128, FetchedPerRead: 1, PeakRSS: 300 * mib, MountBusy: 0.97, MountStolen: 0.2},
		{Workload: "first-byte", Unit: "ms", Reference: 0.5, Mount: 0.75, Ratio: 1.5, MountCut: true},
		{Workload: "disk-small-files", Skipped: "needs root"},
	}}
	var table, js bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"20ms to the first byte, 80 MiB/s", "sequential-1", "1234", "0.50", "300", "0.75 cut", "1.50", "raw client", "97", "not measured: disk-small-files: needs root",
		"stolen: sequential-1: the host took 0% of the processors from the reference, and 20% from the mount",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Rows, r.Rows) || back.Rate != r.Rate || back.FirstByte != r.FirstByte {
		t.Errorf("came back as %+v", back)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		names string
		want  int // -1 for an error
	}{{"", len(allWorkloads())}, {"mmap", 1}, {"random", 6}, {"random-4k", 2}, {"mmap,sequential", 3}, {"disk", len(diskWorkloads())}, {"nonsense", -1}, {"mmap,nonsense", -1}} {
		var names []string
		if c.names != "" {
			names = strings.Split(c.names, ",")
		}
		got, err := choose(names)
		if err != nil && c.want >= 0 || err == nil && len(got) != c.want {
			t.Errorf("%q: %d, %v", c.names, len(got), err)
		}
	}
}

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/objstore/cwsim"
)

// Behind LOTA, small objects are kept on the node's disk, and large ones from the second fetch on, or when `headrace
// warm` asks for them.
func TestCachePolicyBehindLota(t *testing.T) {
	t.Parallel()
	l := newLota(t, cwsim.Options{})
	l.put("small", cwsim.LargestUncached)
	l.put("asked", large)
	for i := range 5 {
		l.put(fmt.Sprint("weights/", i), 16*mib)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	m := startMount(t, mountSpec{
		source: "s3://" + lotaBucket, endpoint: "http://cwlota.com", environment: l.environment, cacheDir: dir,
		flags: []string{"--read-only", "--cache-dir", dir, "--memory", "32MiB", "--read-mode", "direct"},
	})
	decided := func(decision string) int64 {
		name := fmt.Sprintf("headrace_disk_decided_bytes_total{decision=%q}", decision)
		return int64(m.counters(name)[name])
	}
	read := func() {
		m.read("small")
		for i := range 5 {
			m.read("weights", fmt.Sprint(i))
		}
	}
	read()
	if small, left, again := decided("kept_small"), decided("left_large"), decided("kept_again"); small != cwsim.LargestUncached || left != 80*mib || again != 0 {
		t.Errorf("first epoch: kept %d bytes of small objects, left %d of large ones, kept %d that were fetched again", small, left, again)
	}
	read() // more than memory holds
	if again := decided("kept_again"); again < 48*mib || decided("left_large") != 80*mib {
		t.Errorf("second epoch: kept %d bytes, left %d", again, decided("left_large"))
	}
	if got := l.run(0, "", "warm", m.path("asked")); !strings.Contains(got, "read 1 files") || decided("kept_asked") != large {
		t.Errorf("warm: %s; kept %d bytes", got, decided("kept_asked"))
	}
}

// Elsewhere everything is kept, unless the policy says otherwise.
func TestCachePolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]int64{"auto": 6 * mib, "small": mib, "none": 0} {
		b := newBucket(t)
		b.put("small", 1, mib)
		b.put("large", 2, 5*mib)
		dir := filepath.Join(t.TempDir(), "cache")
		m := startMount(t, mountSpec{
			source: b.source(), endpoint: b.server.Endpoint(), cacheDir: dir, flags: []string{"--read-only", "--cache-dir", dir, "--cache-policy", policy},
		})
		m.read("small")
		m.read("large")
		const written, queued = "headrace_disk_written_bytes_total", "headrace_disk_queued_bytes"
		var got map[string]float64
		holdsWithin(patience, func() bool {
			got = m.counters(written, queued)
			return got[queued] == 0 && got[written] >= float64(want)
		})
		if int64(got[written]) != want {
			t.Errorf("policy %s: %v bytes are on the disk, should be %d", policy, got[written], want)
		}
	}
}

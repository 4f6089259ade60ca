package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore/cwsim"
)

// A store that throttles the keys of one directory has the daemon do less there, and nowhere else.
func TestThrottledDirectory(t *testing.T) {
	const perReader, hot, cold = 15, 40, 20
	l := newLota(t, cwsim.Options{RequestCost: 20 * time.Millisecond, PartitionLimit: 8})
	path := func(reader, i int) string {
		if reader < hot {
			return fmt.Sprintf("crowded/%d-%d", reader, i)
		}
		return fmt.Sprintf("%02d-alone/%d", reader, i) // a partition for each reader
	}
	for reader := range hot + cold {
		for i := range perReader {
			l.put(path(reader, i), 8<<10)
		}
	}
	m := l.mount("http://cwlota.com")
	const limit, partitions = "headrace_gate_limit", "headrace_gate_partitions"
	var readers sync.WaitGroup
	var running atomic.Int64
	took := make([]time.Duration, hot+cold) // of all the reads of each
	for reader := range hot + cold {
		running.Add(1)
		readers.Go(func() {
			defer running.Add(-1)
			begun := time.Now()
			for i := range perReader {
				if got, err := os.ReadFile(filepath.Join(m.dir, path(reader, i))); err != nil || len(got) != 8<<10 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			took[reader] = time.Since(begun)
		})
	}
	var seen map[string]float64
	for apart := false; !apart && running.Load() > 0; time.Sleep(100 * time.Millisecond) {
		seen = m.counters(limit, partitions)
		apart = seen[partitions] == 1 && seen[limit] >= 48
	}
	if seen[partitions] != 1 || seen[limit] < 48 {
		t.Errorf("while one directory is throttled: a limit of %v, %v partitions", seen[limit], seen[partitions])
	}
	readers.Wait()
	if l.Throttled() == 0 || l.Throttled() > hot*perReader/2 {
		t.Errorf("%d requests were refused, of about %d", l.Throttled(), hot*perReader)
	}
	if crowded, alone := slices.Max(took[:hot]), slices.Max(took[hot:]); alone > crowded {
		t.Errorf("readers of directories that are not throttled took %v, those of the throttled one %v", alone, crowded)
	}
}

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
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
	slowest := make([]time.Duration, hot+cold)
	for reader := range hot + cold {
		readers.Go(func() {
			for i := range perReader {
				begun := time.Now()
				if got, err := os.ReadFile(filepath.Join(m.dir, path(reader, i))); err != nil || len(got) != 8<<10 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				slowest[reader] = max(slowest[reader], time.Since(begun))
			}
		})
	}
	time.Sleep(time.Second)
	if c := m.counters(limit, partitions); c[partitions] != 1 || c[limit] < 48 {
		t.Errorf("while one directory is throttled: a limit of %v, %v partitions", c[limit], c[partitions])
	}
	readers.Wait()
	if l.Throttled() == 0 || l.Throttled() > hot*perReader/2 {
		t.Errorf("%d requests were refused, of about %d", l.Throttled(), hot*perReader)
	}
	for reader := hot; reader < hot+cold; reader++ {
		if slowest[reader] > 2*time.Second {
			t.Errorf("reader %d of a directory that is not throttled waited %v", reader, slowest[reader])
		}
	}
}

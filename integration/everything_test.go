package integration

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestEverythingAtOnce reads in many ways at once, with little memory, from a store that replaces objects, throttles,
// truncates and resets. Every byte must be of one version; and when all is over, everything reads as it should, and the
// daemon is as it was before: the harness looks at its handles, this test at its goroutines.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const (
		files    = 10
		versions = 3
		readers  = 8
		rounds   = 12 // files read by each reader
	)
	b := newBucket(t)
	var names []string
	objects := make(map[string][]object)
	swaps := make(map[string][]func())
	for i := range files {
		size := []int64{1000, 100_000, block + 1, chunk - 1, 2*chunk + 77}[i%5]
		name := fmt.Sprintf("dir-%d/file-%d", i%3, i)
		if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		for v := range versions {
			o, swap := b.prepare(name, pattern(1000*i+v), size)
			objects[name], swaps[name] = append(objects[name], o), append(swaps[name], swap)
		}
		swaps[name][0]()
		names = append(names, name)
	}
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--memory", "32MiB", "--metadata-ttl", "100ms")
	before := m.counters("go_goroutines")["go_goroutines"]
	if before == 0 {
		t.Fatal("the daemon does not count its goroutines")
	}

	done := make(chan struct{})
	var disturbing sync.WaitGroup
	disturbing.Go(func() { disturb(done, p, names, swaps) })
	var reading errgroup.Group
	for reader := range readers {
		reading.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(reader), 1))
			for range rounds {
				name := names[random.IntN(files)]
				if err := readOneVersion(m.path(name), objects[name]); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	reading.Go(func() error { return walkAgainAndAgain(m.dir, rounds) })
	if err := reading.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	disturbing.Wait()
	p.heal()

	for _, name := range names {
		swaps[name][1]()
	}
	for _, name := range names {
		eventually(t, patience, "the old version to be too old", func() bool {
			return attribute(t, m.path(name), "user.s3.etag") == objects[name][1].etag()
		})
		if got, err := hashFile("read", m.path(name)); err != nil || got != objects[name][1].sha256() {
			t.Errorf("%s reads as %s, %v", name, got, err)
		}
	}
	eventually(t, 3*patience, "the daemon's goroutines to end", func() bool {
		const pooled = 2 * 64 // two a connection that is kept for the next request
		return m.counters("go_goroutines")["go_goroutines"] <= before+pooled
	})
}

// disturb replaces objects and breaks requests until done. It breaks one of four at most, however slowly they come: on
// a machine that has no time, all would be broken until readers give up.
func disturb(done <-chan struct{}, p *proxy, names []string, swaps map[string][]func()) {
	random := rand.New(rand.NewPCG(99, 1))
	faults := []action{
		answer(http.StatusServiceUnavailable, "SlowDown"), answer(http.StatusInternalServerError, "InternalError"),
		truncate(100_001), reset(3 * mib), truncate(0), rewrite(func(h http.Header) { h.Set("ETag", otherETag()) }),
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last *fault
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		ways := swaps[names[random.IntN(len(names))]]
		ways[random.IntN(len(ways))]()
		if last == nil || last.hits() > 0 {
			last = p.inject(&fault{operation: "GET", skip: 3, times: 1, act: faults[random.IntN(len(faults))]})
		}
	}
}

// walkAgainAndAgain lists the whole tree, as find does.
func walkAgainAndAgain(dir string, times int) error {
	for range times {
		err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				_, err = entry.Info()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

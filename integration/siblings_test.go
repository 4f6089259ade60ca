package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// manyFiles stores n objects of size bytes in a directory.
func manyFiles(b *bucket, n int, size int64) []object {
	objects := make([]object, n)
	for i := range objects {
		objects[i] = b.put(fmt.Sprintf("dir/file-%03d", i), pattern(i), size)
	}
	return objects
}

func (m *mount) listed(t *testing.T, n int) {
	t.Helper()
	if entries, err := os.ReadDir(m.path("dir")); err != nil || len(entries) != n {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
}

// Files of a listed directory that are opened in any order are brought ahead of their opening, and still cost one GET
// each and no other request.
func TestSiblingsCostOneGetEach(t *testing.T) {
	t.Parallel()
	const files, readers = 300, 4
	b := newBucket(t)
	objects := manyFiles(b, files, 100<<10)
	p := newProxy(t, b.server.Endpoint())
	p.inject(&fault{operation: "GET", act: func(w http.ResponseWriter, r *http.Request, next http.Handler, _ <-chan struct{}) {
		time.Sleep(20 * time.Millisecond) // a store that is far away
		next.ServeHTTP(w, r)
	}})
	m := mountThrough(t, b, p, "--metadata-ttl", "10m")
	m.listed(t, files)
	p.take(t)
	order := rand.New(rand.NewPCG(1, 2)).Perm(files)
	var reading errgroup.Group
	for r := range readers {
		reading.Go(func() error {
			for _, i := range order[r*files/readers : (r+1)*files/readers] {
				got, err := os.ReadFile(m.path("dir", fmt.Sprintf("file-%03d", i)))
				if err != nil {
					return err
				}
				if !bytes.Equal(got, objects[i].bytes()) {
					return fmt.Errorf("file %d has other bytes", i)
				}
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, line := range p.take(t) {
		operation, rest, _ := strings.Cut(line, " ")
		if operation != "GET" {
			t.Errorf("a request besides: %s", line)
		}
		times[rest]++
	}
	for what, n := range times {
		if n != 1 {
			t.Errorf("%d times GET %s", n, what)
		}
	}
	if len(times) != files {
		t.Errorf("%d files were asked for", len(times))
	}
	if most := p.mostAtOnce(); most <= 2*readers {
		t.Errorf("%d requests at once at most, by %d readers", most, readers)
	}
}

// Three files that are opened have no others brought.
func TestSiblingsOfFewFiles(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	manyFiles(b, 100, 100<<10)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--metadata-ttl", "10m")
	m.listed(t, 100)
	p.take(t)
	for i := range 3 {
		if _, err := os.ReadFile(m.path("dir", fmt.Sprintf("file-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.take(t); len(got) != 3 {
		t.Errorf("requests: %q", got)
	}
	for i := 3; i < 5; i++ {
		if _, err := os.ReadFile(m.path("dir", fmt.Sprintf("file-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, "others to be brought", func() bool { return p.count("GET") >= 10 })
	if got := len(p.take(t)); got > 5*5-3 {
		t.Errorf("%d requests after two more; at most four files ahead for each opened", got)
	}
}

// A file that was brought ahead of its opening is asked for again once the TTL is over: what was stored meanwhile is
// what is read.
func TestSiblingsReplaced(t *testing.T) {
	t.Parallel()
	const files = 40
	b := newBucket(t)
	manyFiles(b, files, 100<<10)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--metadata-ttl", "3s", "--siblings", "on")
	eventually(t, patience, "all files to be brought", func() bool { // within the TTL, for which a busy machine may need more than one
		m.listed(t, files)
		for i := range 10 {
			m.read("dir", fmt.Sprintf("file-%03d", i))
		}
		return p.count("GET") >= files
	})
	after := b.put("dir/file-020", 1000, 50<<10)
	eventually(t, patience, "the new content", func() bool {
		got, err := os.ReadFile(m.path("dir", "file-020"))
		return err == nil && bytes.Equal(got, after.bytes())
	})
	for i := 11; i < 20; i++ {
		if got, err := os.ReadFile(m.path("dir", fmt.Sprintf("file-%03d", i))); err != nil || !bytes.Equal(got, object{content: pattern(i), size: 100 << 10}.bytes()) {
			t.Errorf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
}

// Nothing is brought ahead that there is no free memory for, and nothing is evicted for it.
func TestSiblingsWithinFreeMemory(t *testing.T) {
	t.Parallel()
	const files = 60
	b := newBucket(t)
	manyFiles(b, files, 2*mib)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p, "--metadata-ttl", "10m", "--memory", "32MiB")
	m.listed(t, files)
	p.take(t)
	for i := range 12 {
		if _, err := os.ReadFile(m.path("dir", fmt.Sprintf("file-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	// Of what was read the kernel has the pages, so its memory is free again: 12 read, and less than 16 ahead in 32 MiB.
	if got := len(p.take(t)); got > 12+16 {
		t.Errorf("%d files of 2 MiB were fetched with 32 MiB of memory and 12 read", got)
	}
}

// A program that waits for a file which is being fetched ahead of its opening, by a request that is never answered, is
// gone within a second when it is killed; whoever opens the file once the store answers again gets it.
func TestSiblingThatStallsIsInterrupted(t *testing.T) {
	t.Parallel()
	const files = 40
	b := newBucket(t)
	objects := manyFiles(b, files, 100<<10)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--metadata-ttl", "100ms", "--siblings", "on") // so that open asks
	m.listed(t, files)
	for i := range 3 {
		m.read("dir", fmt.Sprintf("file-%03d", i))
	}
	stalled := p.inject(&fault{operation: "GET", key: "dir/file-009", act: hold()})
	m.read("dir", "file-003")
	eventually(t, patience, "a file to be fetched ahead", func() bool { return stalled.hits() > 0 })
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cat := exec.Command("cat", m.path("dir", "file-009"))
		cat.Dir = "/"
		waiting := start(t, cat)
		eventually(t, patience, "the program to wait", func() bool { return waiting.ended() || waitsInKernel(waiting.cmd.Process.Pid) })
		checkDies(t, waiting, sig)
	}
	p.heal()
	eventually(t, patience, "the file", func() bool {
		got, err := os.ReadFile(m.path("dir", "file-009"))
		return err == nil && bytes.Equal(got, objects[9].bytes())
	})
}

package integration

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/memstore"
	"github.com/headrace/headrace/objstore/s3front"
)

// A directory of 100,000 names is listed whole, each name once.
func TestLargeDirectory(t *testing.T) {
	const count = 100_000
	b := newBucket(t)
	b.putMany("large", count)
	m := mountBucket(t, b)
	names := m.names("large")
	slices.Sort(names)
	if len(names) != count {
		t.Errorf("%d names were listed, should be %d", len(names), count)
	}
	if once := len(slices.Compact(slices.Clone(names))); once != len(names) {
		t.Errorf("%d names were listed more than once", len(names)-once)
	}
	for i, name := range names {
		if want := manyName(i); name != want {
			t.Fatalf("name %d is %q, should be %q", i, name, want)
		}
	}
	checkSize(t, m.path("large", manyName(count-1)), 1)
}

// Listing a directory of 100,000 names by ls, find and ls -l takes no more memory than `--memory` and 150 MiB, and a
// request for each 1,000 of them: what follows asks for nothing.
//
// Names are good for long enough here: on a machine that has no time, ls -l would outlive a second's, and each name
// cost a request.
func TestMemoryOfLargeDirectory(t *testing.T) {
	t.Parallel()
	const count, given = 100_000, 32 * mib
	store := memstore.New("large") // since versitygw takes a quarter of a second for each page
	for i := range count {
		if _, err := store.Put(t.Context(), manyName(i), strings.NewReader("x"), 1, objstore.Condition{}, objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	var requests atomic.Int64
	front := httptest.NewServer(s3front.New(s3front.Options{Buckets: []objstore.Bucket{store}, Before: func(http.ResponseWriter, *http.Request) bool {
		requests.Add(1)
		return false
	}}))
	atEnd(t, front.Close)
	m := startMount(t, mountSpec{source: "s3://large", endpoint: front.URL, binary: shared.plain, flags: []string{"--memory", "32MiB", "--metadata-ttl", "1h"}})
	for _, list := range []string{`ls -f "$MNT"`, `find "$MNT" -mindepth 1`, `ls -l "$MNT" | tail -n +2`} {
		began, before := time.Now(), requests.Load()
		names := strings.Count(m.shell(list), "name-")
		took, peak := time.Since(began), m.peakMemory()
		t.Logf("%s: %v, %d requests, at most %d MiB up to then", list, took.Round(time.Millisecond), requests.Load()-before, peak/mib)
		if names != count {
			t.Errorf("%s: %d names", list, names)
		}
		if peak > given+memoryAllowance {
			t.Errorf("%s: the daemon took %d MiB, should be %d at most", list, peak/mib, (given+memoryAllowance)/mib)
		}
	}
}

// A directory is streamed: its first names are there long before its last ones are asked for.
func TestDirectoryIsStreamed(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.putMany("large", 20_000)
	p := newProxy(t, b.server.Endpoint())
	m := mountThrough(t, b, p)
	d := m.open("large")
	p.take(t)
	if names, err := d.Readdirnames(1); err != nil || len(names) != 1 {
		t.Fatalf("got %q, %v", names, err)
	}
	// What the first names need is a page, and some are asked for ahead; the whole are twenty.
	if requests := p.take(t); len(requests) > 5 {
		t.Errorf("the first name cost %d requests", len(requests))
	}
}

// A position in a directory (telldir) can be returned to (seekdir) for as long as the directory is open.
func TestPositionsInDirectory(t *testing.T) {
	t.Parallel()
	const count = 2500 // three pages of a listing
	b := newBucket(t)
	b.putMany("dir", count)
	m := mountBucket(t, b)
	fd := int(m.open("dir").Fd())
	entries := readEntries(t, fd, -1)
	if len(entries) != count+2 { // with "." and ".."
		t.Fatalf("%d entries, should be %d", len(entries), count+2)
	}
	for _, at := range []int{0, 1, 2, 500, 999, 1000, 1001, 1002, 2400, len(entries) - 2, 3, 1500} {
		if _, err := unix.Seek(fd, entries[at].next, unix.SEEK_SET); err != nil {
			t.Fatal(err)
		}
		if got, want := readEntries(t, fd, 1)[0].name, entries[at+1].name; got != want {
			t.Errorf("after entry %d comes %q, came %q before", at, got, want)
		}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	again := readEntries(t, fd, -1)
	if !slices.EqualFunc(again, entries, func(a, b entry) bool { return a.name == b.name }) {
		t.Errorf("from the start, %d entries come again, in another order or number", len(again))
	}
}

// While a directory is read, others may add and remove names: a name that did not change is seen exactly once.
func TestDirectoryChangesWhileRead(t *testing.T) {
	t.Parallel()
	const count = 3000
	b := newBucket(t)
	b.putMany("dir", count)
	m := mountBucket(t, b, "--metadata-ttl", "0s")
	d := m.open("dir")
	seen := make(map[string]int)
	for _, name := range must[[]string](t)(d.Readdirnames(10)) {
		seen[name]++
	}
	for i := 0; i < count; i += 3 {
		b.remove("dir/" + manyName(i))
		b.putText(fmt.Sprintf("dir/%s-added", manyName(i)), "x")
	}
	for _, name := range must[[]string](t)(d.Readdirnames(-1)) {
		seen[name]++
	}
	for i := range count {
		if times := seen[manyName(i)]; i%3 != 0 && times != 1 {
			t.Fatalf("%s, which did not change, was seen %d times", manyName(i), times)
		}
	}
	for name, times := range seen {
		if times > 1 {
			t.Errorf("%s was seen %d times", name, times)
		}
	}
}

// putMany stores count objects of one byte in a directory, as links to a few files: a directory of 100,000 names takes
// a second so.
func (b *bucket) putMany(dir string, count int) {
	b.t.Helper()
	const linksEach = 30_000 // ext4 takes 65,000 links to a file
	if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
		b.t.Fatal(err)
	}
	first := ""
	for i := range count {
		key := dir + "/" + manyName(i)
		if i%linksEach == 0 {
			b.putText(key, "x")
			first = key
			continue
		}
		if err := os.Link(b.path(first), b.path(key)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// manyName is the name of the i-th object of putMany; names sort by number.
func manyName(i int) string { return fmt.Sprintf("name-%06d", i) }

// entry is one entry of a directory, and the position after it.
type entry struct {
	name string
	next int64
}

// readEntries reads entries by getdents64 until the directory ends or, unless it is negative, limit entries are read.
func readEntries(t *testing.T, fd, limit int) []entry {
	t.Helper()
	var entries []entry
	buf := make([]byte, 4096)
	for limit < 0 || len(entries) < limit {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		entries = append(entries, parseEntries(buf[:n])...)
	}
	return entries
}

// parseEntries reads struct linux_dirent64: inode and offset of 8 bytes each, the record's length of 2, a type of 1,
// and a name that ends with NUL.
func parseEntries(b []byte) []entry {
	var entries []entry
	for len(b) > 0 {
		length := binary.NativeEndian.Uint16(b[16:])
		name, _, _ := strings.Cut(string(b[19:length]), "\x00")
		entries = append(entries, entry{name: name, next: int64(binary.NativeEndian.Uint64(b[8:]))})
		b = b[length:]
	}
	return entries
}

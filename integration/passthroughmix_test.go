package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// openReader has a file open and mapped, in a process of its own: a page fault here might wait for this process. For
// each line it is told it lets the kernel forget what it has of the file, and says the SHA-256 of it by read and by the
// mapping.
const openReader = `
import hashlib, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
m = mmap.mmap(fd, size, prot=mmap.PROT_READ)
for line in sys.stdin:
    m.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    mapped = hashlib.sha256(m).hexdigest()
    read = hashlib.sha256()
    for off in range(0, size, 1 << 20):
        read.update(os.pread(fd, 1 << 20, off))
    print(read.hexdigest(), mapped, flush=True)
`

// openedElsewhere is a process that has a file open and mapped.
type openedElsewhere struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func openElsewhere(t *testing.T, path string) *openedElsewhere {
	t.Helper()
	cmd := exec.Command("python3", "-c", openReader, path)
	in := must[io.WriteCloser](t)(cmd.StdinPipe())
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &openedElsewhere{t, in, bufio.NewReader(out)}
}

// reads checks what it reads and what it has mapped.
func (h *openedElsewhere) reads(when string, o object) {
	h.t.Helper()
	must[int](h.t)(fmt.Fprintln(h.in))
	line := must[string](h.t)(h.out.ReadString('\n'))
	if sums := strings.Fields(line); len(sums) != 2 || sums[0] != o.sha256() || sums[1] != o.sha256() {
		h.t.Errorf("%s: it reads and maps %s", when, line)
	}
}

// A file that is open and mapped in cached mode while it becomes whole on the disk, and then in passthrough mode beside
// that, gives its bytes to both, by read and by mapping. What the kernel has leased is not evicted; and once the object
// is replaced, who has it open in passthrough mode keeps the old bytes and who opens it gets the new ones.
//
// A descriptor that the kernel reads by itself (passthrough) keeps the version it opened, also when this mount writes
// to the file.
func TestPassthroughBesideCached(t *testing.T) {
	t.Parallel()
	const size = 2*chunk + 3*block + 77
	b := newBucket(t)
	old := b.put("object", 1, size)
	p := newProxy(t, b.server.Endpoint())
	dir := filepath.Join(t.TempDir(), "cache")
	m := cachedMount(t, b, p, dir, "--metadata-ttl", "0s")
	cached := openElsewhere(t, m.path("object"))
	cached.reads("before it is whole", old)
	m.awaitKept(onDisk(size), "object")
	const passed = "headrace_fs_passthrough_opens_total"
	eventually(t, patience, "the kernel to read by itself", func() bool {
		got, err := hashFile("read", m.path("object"))
		return err == nil && got == old.sha256() && m.counters(passed)[passed] > 0
	})
	before := m.counters(passed)[passed]
	passing := openElsewhere(t, m.path("object"))
	for range 2 {
		passing.reads("in passthrough mode", old)
		cached.reads("in cached mode beside it", old)
		if code, said := headrace(t, "cache", "purge", dir); code != 0 { // what is leased stays
			t.Fatalf("purge: %d, %s", code, said)
		}
	}
	if m.counters(passed)[passed] != before+1 {
		t.Error("it does not pass through")
	}
	if got := attribute(t, m.path("object"), "user.headrace.cached"); got != fmt.Sprint(size) {
		t.Errorf("what is leased has %s bytes left", got)
	}
	replaced := b.put("object", 5, size)
	openElsewhere(t, m.path("object")).reads("opened after it was replaced", replaced)
	passing.reads("in passthrough mode, after it was replaced", old)
	m.write("written here", "object")
	if got := m.read("object"); got != "written here" {
		t.Errorf("what was written here reads %.20q", got)
	}
	passing.reads("in passthrough mode, after it was written to here", old)
}

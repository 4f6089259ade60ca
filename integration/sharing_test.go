package integration

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Any number of threads may read one file at random offsets.
func TestThreadsAtRandomOffsets(t *testing.T) {
	t.Parallel()
	const (
		threads = 64
		reads   = 40 // by each thread
		largest = 200_000
	)
	b := newBucket(t)
	o := b.put("object", 1, 5*chunk+12345)
	m := mountBucket(t, b, "--memory", "64MiB") // less than the object: chunks come and go under the readers
	var g errgroup.Group
	for thread := range threads {
		g.Go(func() error {
			f, err := os.Open(m.path("object"))
			if err != nil {
				return err
			}
			defer f.Close()
			random := rand.New(rand.NewPCG(uint64(thread), 0))
			buf := make([]byte, largest)
			for range reads {
				off := random.Int64N(o.size)
				piece := buf[:1+random.IntN(largest)]
				n, err := f.ReadAt(piece, off)
				if want := min(int64(len(piece)), o.size-off); int64(n) != want || n < len(piece) && err != io.EOF {
					return fmt.Errorf("%d bytes at %d: got %d, %w", len(piece), off, n, err)
				}
				if err := o.check(piece[:n], off); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// Any number of threads may read through one descriptor, and they share its position as on any file system.
func TestThreadsOnOneDescriptor(t *testing.T) {
	t.Parallel()
	const (
		threads = 8
		piece   = 64 << 10
	)
	b := newBucket(t)
	o := b.put("object", 2, 2*chunk+777)
	m := mountBucket(t, b)
	f := m.open("object")

	var mu sync.Mutex // guards seen
	seen := make(map[uint64]int)
	var g errgroup.Group
	for range threads {
		g.Go(func() error {
			buf := make([]byte, piece)
			for {
				n, err := f.Read(buf)
				if err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				if n == 0 {
					return nil
				}
				mu.Lock()
				seen[sumOf(buf[:n])] += n
				mu.Unlock()
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// Each piece of the file went to exactly one thread.
	buf := make([]byte, piece)
	for off := int64(0); off < o.size; off += piece {
		part := buf[:min(piece, o.size-off)]
		o.content.ReadAt(part, off)
		if got := seen[sumOf(part)]; got != len(part) {
			t.Fatalf("the piece at %d was read %d times", off, got/len(part))
		}
	}
}

// sumOf tells pieces apart.
func sumOf(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// Processes forked with an open descriptor read through it like their parent.
func TestForkedReaders(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	o := b.put("object", 3, 3*chunk+99)
	m := mountBucket(t, b)
	// Eight workers inherit the descriptor. Each reads its stripe of the file by pread; then they read on from the shared
	// position, where together they must get every byte once.
	const script = `
import hashlib, os, sys
path = sys.argv[1] + "/object"
fd = os.open(path, os.O_RDONLY)
size, workers, piece = os.fstat(fd).st_size, 8, 1000003
pipes = []
for w in range(workers):
    r, wr = os.pipe()
    if os.fork() == 0:
        total, h = 0, hashlib.sha256()
        for i in range(w, (size + piece - 1) // piece, workers):
            data = os.pread(fd, piece, i * piece)
            h.update(data)
        while True:
            data = os.read(fd, 65536)
            if not data: break
            total += len(data)
        os.write(wr, (h.hexdigest() + " " + str(total)).encode())
        os._exit(0)
    os.close(wr)
    pipes.append(r)
answers = [os.read(r, 1000).decode().split() for r in pipes]
for _ in range(workers): os.wait()
whole = open(path, "rb").read()
for w, a in enumerate(answers):
    h = hashlib.sha256()
    for i in range(w, (size + piece - 1) // piece, workers):
        h.update(whole[i * piece:(i + 1) * piece])
    assert h.hexdigest() == a[0], "worker %d read other bytes" % w
assert sum(int(a[1]) for a in answers) == size, "the shared position gave bytes twice or never"
print(hashlib.sha256(whole).hexdigest())
`
	if got := m.python(script); got != o.sha256() {
		t.Errorf("sum %s, should be %s", got, o.sha256())
	}
}

// Python (mmap, readinto), tar and cp read from the mount as from a local disk.
func TestProgramsOfUsers(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	for i := range 30 {
		b.put(fmt.Sprintf("tree/%d/%d/file", i%3, i), pattern(i), int64(i)*100_003)
	}
	o := b.put("large", 5, chunk+4321)
	m := mountBucket(t, b)
	const script = `
import hashlib, mmap, sys
path = sys.argv[1] + "/large"
with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as mapped:
    print(hashlib.sha256(mapped).hexdigest())
with open(path, "rb", buffering=0) as f:
    h, buf = hashlib.sha256(), bytearray(1 << 20)
    while n := f.readinto(buf): h.update(memoryview(buf)[:n])
    print(h.hexdigest())
`
	if got, want := m.python(script), o.sha256()+"\n"+o.sha256(); got != want {
		t.Errorf("python: got %s, should be %s", got, want)
	}
	served := b.path("tree")
	m.shell(`cp -r "$MNT/tree" copy; diff -r "` + served + `" copy`)
	m.shell(`mkdir packed; tar -C "$MNT" -cf - tree | tar -C packed -xf -; diff -r "` + served + `" packed/tree`)
	if err := exec.Command("diff", "-r", served, m.path("tree")).Run(); err != nil {
		t.Errorf("diff -r of the mount: %v", err)
	}
}

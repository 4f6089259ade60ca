package share

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// ownerVariable has this binary own a cache directory, which it names, until it is killed.
const ownerVariable = "HEADRACE_TEST_OWNER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerVariable); dir != "" {
		fmt.Fprintln(os.Stderr, ownForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// churnLimit is small enough that what comes pushes out what is there.
const churnLimit = 48 * mib

// churned are the versions of the tests in which much comes and goes: some of one chunk, some of two.
func churned(n int) objstore.Version {
	return versionOf(fmt.Sprint("churned", n), int64(n%3)*8*mib+int64(n)*1000+77)
}

const churnedVersions = 12

// offerOne offers a chunk at random, without waiting.
func offerOne(m *Member, random *rand.Rand) {
	v := churned(random.IntN(churnedVersions))
	chunk := random.Int64N((v.Size + disk.ChunkSize - 1) / disk.ChunkSize)
	data := contentOf(v, chunk)
	all := disk.Blocks(1<<((len(data)+disk.BlockSize-1)/disk.BlockSize) - 1)
	m.Used(v, chunk)
	m.Offer(&disk.Offer{Version: v, Chunk: chunk, Data: data, Blocks: all, Done: func() {}})
}

func ownForEver(dir string) error {
	m, err := Open(Config{Name: "killed", Disk: disk.Config{Dir: dir, Size: churnLimit, MinFree: 1, Queue: 64 * mib}})
	if err != nil {
		return err
	}
	go func() { // with its parent, whatever becomes of that
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	fmt.Println("owner:", m.Owner())
	for random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)); ; time.Sleep(time.Millisecond) {
		offerOne(m, random)
	}
}

// startOwner runs a process that owns a directory.
func startOwner(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerVariable+"="+dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "owner: true") {
		t.Fatalf("%q, %v", line[:n], err)
	}
	return cmd
}

// readUntil reads at random, and holds leases meanwhile, until stop is closed: never a wrong byte.
func readUntil(t *testing.T, m *Member, seed uint64, stop <-chan struct{}) (found int) {
	random := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-stop:
			return found
		default:
		}
		offerOne(m, random)
		v := churned(random.IntN(churnedVersions))
		for chunk := int64(0); chunk*disk.ChunkSize < v.Size; chunk++ {
			if right(t, m, v, chunk) {
				found++
			}
		}
		if l := m.Lease(v); l != nil {
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			checkLease(t, l, v)
			l.Release()
		}
	}
}

func checkLease(t *testing.T, l *disk.Lease, v objstore.Version) {
	t.Helper()
	for chunk := int64(0); chunk*disk.ChunkSize < v.Size; chunk++ {
		got := make([]byte, disk.ChunkLength(v, chunk))
		if _, err := l.File().ReadAt(got, chunk*disk.ChunkSize); err != nil || !bytes.Equal(got, contentOf(v, chunk)) {
			t.Errorf("leased: chunk %d of %v is not what was written: %v", chunk, v, err)
		}
	}
}

// TestOwnerKilled: killed at any time, an owner has a successor within seconds, and no reader ever gets a wrong byte,
// by loan or by lease.
func TestOwnerKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	var found atomic.Int64
	for round := range uint64(6) {
		owner := startOwner(t, dir)
		members := []*Member{open(t, dir), open(t, dir)}
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for i, m := range members {
			if m.Owner() {
				t.Fatal("a second owner")
			}
			readers.Go(func() { found.Add(int64(readUntil(t, m, 10*round+uint64(i), stop))) })
		}
		kill := time.Duration(rand.IntN(1500)) * time.Millisecond
		time.Sleep(kill)
		if err := owner.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		eventually(t, "a successor", func() bool { return members[0].Owner() != members[1].Owner() })
		took := time.Since(killed)
		eventually(t, "the other finds it", func() bool { return members[0].Stats().Limit > 0 && members[1].Stats().Limit > 0 })
		t.Logf("killed after %v; a successor after %v", kill, took)
		if took > 30*time.Second { // a moment, on a machine that has time
			t.Errorf("a successor only after %v", took)
		}
		time.Sleep(300 * time.Millisecond) // they read, keep and evict
		close(stop)
		readers.Wait()
		for _, m := range members { // the second time with a successor again
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if found.Load() == 0 {
		t.Error("nothing was ever found")
	}
}

// open opens a member with little space, which the caller closes.
func open(t *testing.T, dir string) *Member {
	t.Helper()
	m, err := Open(Config{Disk: disk.Config{Dir: dir, Size: churnLimit, MinFree: 1, Queue: 64 * mib}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

package fs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
)

func fileItem(name string, version int, at time.Time) names.Item {
	return names.Item{
		Name: name, Key: name, Confirmed: at,
		Entry: objstore.Entry{Key: name, ETag: fmt.Sprint(version), Size: int64(version), ModTime: time.Unix(int64(version), 0)},
	}
}

func newTestTable() (*nodeTable, *node) {
	root := newRoot(nil, "")
	return newNodeTable(root), root
}

// TestNodeTableRandom: whatever comes in whatever order, the invariants hold, a node id stands for one version, and
// what was given is known until it is forgotten as often.
func TestNodeTableRandom(t *testing.T) {
	const seed = 1
	rnd := rand.New(rand.NewPCG(seed, seed))
	table, root := newTestTable()
	given := map[uint64]uint64{} // node id to lookups the kernel has
	version := map[uint64]string{}
	at := time.Unix(0, 0)
	for range 4_000 {
		name := string(rune('a' + rnd.IntN(5)))
		switch op := rnd.IntN(10); {
		case op < 4:
			at = at.Add(time.Second)
			n := table.enter(root, nil, fileItem(name, rnd.IntN(3), at))
			given[n.id]++
			if was, ok := version[n.id]; ok && was != n.name()+n.etag {
				t.Fatalf("node %d was %s and is %s", n.id, was, n.name()+n.etag)
			}
			version[n.id] = n.name() + n.etag
		case op < 6:
			if n := table.known(root, name); n != nil && table.again(n) {
				given[n.id]++
			}
		case op < 7:
			if n := table.known(root, name); n != nil {
				table.retire(n)
			}
		default:
			for id, lookups := range given { // any
				less := 1 + rnd.Uint64N(lookups)
				table.forget(id, less)
				if given[id] -= less; given[id] == 0 {
					delete(given, id)
				}
				break
			}
		}
		if err := table.check(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range given {
		if table.get(id) == nil {
			t.Errorf("node %d is gone, which the kernel knows", id)
		}
	}
	if want := len(given) + 1; table.len() != want {
		t.Errorf("%d nodes, want %d", table.len(), want)
	}
}

// TestNodeTableOldAnswers: an answer that was asked for earlier does not undo a later one; one that was asked for later
// counts.
func TestNodeTableOldAnswers(t *testing.T) {
	table, root := newTestTable()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	first := table.enter(root, nil, fileItem("a", 1, at(10)))
	second := table.enter(root, nil, fileItem("a", 2, at(20)))
	if first == second {
		t.Fatal("two versions share a node")
	}
	if late := table.enter(root, nil, fileItem("a", 1, at(15))); late != second {
		t.Errorf("an old answer counted: node %d", late.id)
	}
	if back := table.enter(root, nil, fileItem("a", 1, at(30))); back == second || back == first {
		t.Errorf("the first version is back as node %d", back.id)
	}
	again := table.enter(root, nil, fileItem("b", 1, at(10)))
	if table.enter(root, nil, fileItem("b", 1, at(40))) != again || again.confirmedAt() != at(40) {
		t.Errorf("confirmed at %v", again.confirmedAt())
	}
	dir := table.enter(root, nil, names.Item{Name: "b", Dir: true, Key: "b/", Confirmed: at(50)})
	if dir == again || !dir.dir {
		t.Error("a file became a directory and kept its node")
	}
	if err := table.check(); err != nil {
		t.Error(err)
	}
}

// TestNodeTableForgetsTheRootNever.
func TestNodeTableForgetsTheRootNever(t *testing.T) {
	table, root := newTestTable()
	table.forget(fuse.FUSE_ROOT_ID, 100)
	table.forget(77, 1)
	if table.get(fuse.FUSE_ROOT_ID) != root {
		t.Error("the root is gone")
	}
}

// fakeKernel forgets what it is asked to, and may be too old for it.
type fakeKernel struct {
	table *nodeTable
	old   bool
	names []string
}

func (k *fakeKernel) PruneNotify(ids []uint64) fuse.Status {
	if k.old {
		return fuse.ENOSYS
	}
	for _, id := range ids {
		k.table.forget(id, 1)
	}
	return fuse.OK
}

func (k *fakeKernel) EntryNotify(parent uint64, name string) fuse.Status {
	k.names = append(k.names, fmt.Sprintf("%d %s", parent, name))
	return fuse.OK
}

// TestPrunerBoundsTheTable: with a kernel that forgets nothing by itself, the table stays bounded, and the newest stay.
func TestPrunerBoundsTheTable(t *testing.T) {
	for _, old := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const limit = 4 * pruneBatch
			table, root := newTestTable()
			table.limit = limit
			kernel := &fakeKernel{table: table, old: old}
			ctx, stop := context.WithCancel(t.Context())
			p := &pruner{nodes: table, kernel: kernel}
			go p.run(ctx)
			const made = 4 * limit
			for i := range made {
				table.enter(root, nil, fileItem(fmt.Sprint(i), 1, time.Unix(1, 0)))
				if i%100 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			stop()
			if !old && table.len() > limit+pruneBatch+100 {
				t.Errorf("%d nodes", table.len())
			}
			if old && (len(kernel.names) < limit || !strings.HasPrefix(kernel.names[0], "1 ")) {
				t.Errorf("%d names were taken from the kernel", len(kernel.names))
			}
			if table.known(root, fmt.Sprint(made-1)) == nil {
				t.Error("the newest node is gone")
			}
			if err := table.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInoOf: what is shown has a number of its own, and it is neither 0 nor the root's.
func TestInoOf(t *testing.T) {
	seen := map[uint64]string{0: "nothing", rootIno: "the root", ^uint64(0): "the library"}
	for _, bucket := range []string{"a", "ab"} {
		for _, dir := range []bool{false, true} {
			for _, key := range []string{"", "b", "b/", "bc", "file"} {
				name := fmt.Sprint(bucket, dir, key)
				ino := inoOf(bucket, dir, key)
				if other, taken := seen[ino]; taken {
					t.Errorf("%s has the number of %s", name, other)
				}
				seen[ino] = name
			}
		}
	}
}

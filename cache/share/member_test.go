package share

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

const mib = 1 << 20

func versionOf(name string, size int64) objstore.Version {
	return objstore.Version{Endpoint: "e", Bucket: "b", Key: name + "\xff", ETag: "etag", Size: size}
}

// contentOf is what a version has in a chunk.
func contentOf(v objstore.Version, chunk int64) []byte {
	b := make([]byte, disk.ChunkLength(v, chunk))
	seed := [32]byte{byte(chunk)}
	copy(seed[1:], v.Key)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// join opens a directory until the test ends.
func join(t *testing.T, dir, name string, size int64) *Member {
	t.Helper()
	m, err := Open(Config{Name: name, Disk: disk.Config{Dir: dir, Size: size, MinFree: 1, Queue: 64 * mib}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// keep offers a chunk, which must be taken, and waits until it is here.
func keep(t *testing.T, m *Member, v objstore.Version, chunk int64, reader uint64) {
	t.Helper()
	data := contentOf(v, chunk)
	all := disk.Blocks(1<<((len(data)+disk.BlockSize-1)/disk.BlockSize) - 1)
	done := make(chan struct{})
	if !m.Offer(&disk.Offer{Version: v, Chunk: chunk, Data: data, Blocks: all, Reader: reader, Done: func() { close(done) }}) {
		t.Fatal("refused")
	}
	<-done
	clear(data) // it is not used any more
	eventually(t, "kept", func() bool { return m.Present(v, chunk) == all })
}

// right tells whether all of a chunk is here, and fails the test if a byte is wrong.
func right(t *testing.T, m *Member, v objstore.Version, chunk int64) bool {
	t.Helper()
	h := m.Hold(v, chunk)
	if h == nil {
		return false
	}
	defer h.Release()
	want, whole := contentOf(v, chunk), true
	for off := 0; off < len(want); off += disk.BlockSize {
		b := make([]byte, min(disk.BlockSize, len(want)-off))
		if !h.Blocks().Has(off/disk.BlockSize) || !h.Read(b, off) {
			whole = false
		} else if !bytes.Equal(b, want[off:off+len(b)]) {
			t.Errorf("%v: wrong bytes at %d", v, off)
		}
	}
	return whole
}

// TestSharing: what one member keeps all can read, whoever is the owner.
func TestSharing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a name that is longer than the name of a socket may be", fmt.Sprintf("%090d", 0), "c")
	owner, sharer := join(t, dir, "owner", 256*mib), join(t, dir, "sharer", 0)
	if !owner.Owner() || sharer.Owner() {
		t.Fatal("who came first is not the owner, or the other is as well")
	}
	members := []*Member{owner, sharer}
	for i, from := range members {
		for _, size := range []int64{1, 5000, mib, disk.ChunkSize + 3*mib + 77} {
			v := versionOf(fmt.Sprint(i, size), size)
			for chunk := int64(0); chunk*disk.ChunkSize < size; chunk++ {
				keep(t, from, v, chunk, uint64(i))
			}
			for j, m := range members {
				for chunk := int64(0); chunk*disk.ChunkSize < size; chunk++ {
					if !right(t, m, v, chunk) {
						t.Errorf("%d of what %d kept: not here", j, i)
					}
				}
				if m.Cached(v) != size || !m.Admits(v, uint64(i)) || m.Admits(v, uint64(1-i)) {
					t.Errorf("%d: %d bytes of %d", j, m.Cached(v), size)
				}
				var l *disk.Lease
				eventually(t, "a lease", func() bool { l = m.Lease(v); return l != nil })
				got := make([]byte, size)
				if _, err := l.File().ReadAt(got, 0); err != nil || !bytes.Equal(got[:min(size, disk.ChunkSize)], contentOf(v, 0)) {
					t.Errorf("%d: leased bytes: %v", j, err)
				}
				if _, err := l.File().WriteAt([]byte{1}, 0); err == nil {
					t.Error("who has a lease can write")
				}
				l.Release()
			}
		}
	}
	if sharer.Hold(versionOf("missing", 5), 0) != nil {
		t.Error("what nobody has is here")
	}
	if s := sharer.Stats(); s.Limit != 256*mib || s.Versions != 8 || s.Hits == 0 || s.Misses != 1 || s.BytesRead == 0 {
		t.Errorf("%+v", s)
	}
	admitted, other := versionOf("0 5000", 5000), versionOf("1 5000", 5000)
	sharer.Admit(admitted, 77)
	if !owner.Admits(admitted, 77) {
		t.Error("not admitted")
	}
	if owner.Admits(other, 77) {
		t.Error("admitted to another version")
	}
}

// TestOfferedAgain: what the owner has no room for is offered again until it has.
func TestOfferedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	owner, err := Open(Config{Disk: disk.Config{Dir: dir, Size: 256 * mib, MinFree: 1, Queue: 1}}) // room for one offer at a time
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := owner.Close(); err != nil {
			t.Error(err)
		}
	}()
	sharer := join(t, dir, "sharer", 0)
	busy, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	offer := func(m *Member, name string, whenDone func()) objstore.Version {
		t.Helper()
		v := versionOf(name, mib)
		if !m.Offer(&disk.Offer{Version: v, Data: contentOf(v, 0), Blocks: 1, Done: whenDone}) {
			t.Fatalf("%s was refused", name)
		}
		return v
	}
	offer(owner, "being written", func() { close(busy); <-goOn })
	<-busy
	offer(owner, "waiting", func() {})
	v := offer(sharer, "refused", func() { close(done) })
	eventually(t, "the offer to be refused", func() bool { return sharer.errands.resume.Load() > 0 })
	close(goOn)
	<-done
	eventually(t, "kept", func() bool { return right(t, sharer, v, 0) })
}

// TestWantedBySharer: what one who is not the owner wants is kept, whatever else is here.
func TestWantedBySharer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	owner, sharer := join(t, dir, "owner", 12*mib), join(t, dir, "sharer", 0)
	for i := range 4 {
		v := versionOf(fmt.Sprint("old", i), 2*mib)
		keep(t, owner, v, 0, 1)
		for range 15 {
			owner.Used(v, 0)
		}
	}
	v := versionOf("wanted", 2*mib)
	sharer.Wanted(v)
	eventually(t, "kept", func() bool { // once the owner knows
		done := make(chan struct{})
		if sharer.Offer(&disk.Offer{Version: v, Data: contentOf(v, 0), Blocks: 0b11, Done: func() { close(done) }}) {
			<-done
		}
		return sharer.Present(v, 0) == 0b11
	})
}

// TestVisit: a directory in use is looked at and changed by way of its owner.
func TestVisit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	owner := join(t, dir, "s3://one", 256*mib)
	join(t, dir, "s3://two", 0)
	for i := range 300 {
		keep(t, owner, versionOf(fmt.Sprint(i), 10), 0, 0)
	}
	v, err := Visit(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if users, err := v.Users(); err != nil || len(users) != 2 || users[0].Name != "s3://one" || users[1].Name != "s3://two" {
		t.Errorf("users: %v, %v", users, err)
	}
	count := func() (n, pinned int) {
		for e, err := range v.Entries() {
			if err != nil || e.Present != 10 {
				t.Fatal(e, err)
			}
			if n++; e.Pinned {
				pinned++
			}
		}
		return n, pinned
	}
	eventually(t, "all are listed", func() bool { n, _ := count(); return n == 300 })
	one := versionOf("17", 10)
	if err := v.Pin(one, true); err != nil {
		t.Error(err)
	}
	eventually(t, "pinned", func() bool { _, pinned := count(); return pinned == 1 })
	if bad, err := v.Verify(context.Background(), one); bad != 0 || err != nil {
		t.Errorf("%d bad, %v", bad, err)
	}
	if n, err := v.Evict(one); n != 10 || err != nil || owner.Cached(one) != 0 {
		t.Errorf("evicted %d bytes, %v", n, err)
	}
	if s, err := v.Stats(); err != nil || s.Versions != 299 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestAdoption: a file that a sharer has stored becomes the data file, without a copy.
func TestAdoption(t *testing.T) {
	dir := t.TempDir()
	owner, sharer := join(t, filepath.Join(dir, "c"), "owner", 256*mib), join(t, filepath.Join(dir, "c"), "sharer", 0)
	v := versionOf("stored", 3*mib+5)
	file, err := os.Create(filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(contentOf(v, 0)); err != nil {
		t.Fatal(err)
	}
	if !sharer.Adopt(v, file, 7) {
		t.Fatal("not adopted")
	}
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	if !right(t, owner, v, 0) || !right(t, sharer, v, 0) || !owner.Admits(v, 7) {
		t.Error("what was adopted is not here")
	}
	if sharer.Adopt(versionOf("longer", 4*mib), file, 7) {
		t.Error("a file that is too short was adopted")
	}
	renamed := v
	renamed.Key = "renamed"
	if !sharer.Renamed(v, renamed, 8) || owner.Cached(renamed) != v.Size || sharer.Cached(v) != 0 || owner.Admits(renamed, 7) || !owner.Admits(renamed, 8) {
		t.Error("what was adopted does not go by its new key")
	}
}

package cache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/objstore"
)

func storedFile(t *testing.T, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stored")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Without a disk cache a small file that was just stored is read from memory: the store is asked for nothing, and
// nothing counts as fetched. A large one is not kept.
func TestAdoptIntoMemory(t *testing.T) {
	store := newFakeStore()
	c := newTestCache(t, store, MinMemory)
	content := bytes.Repeat([]byte("0123456789abcdef"), maxStored/16)
	for _, size := range []int64{1, 4096, 100_001, maxStored, maxStored + 1} {
		v := objstore.Version{Bucket: "b", Key: fmt.Sprint("stored-", size), ETag: "e", Size: size}
		c.Adopt(v, storedFile(t, append(content, 'x')[:size])).Take()
		data, release, waited, err := c.Read(t.Context(), v, objstore.Range{Len: size})
		if size > maxStored {
			if err == nil {
				release()
			}
			if c.Stats().BytesFetched == 0 {
				t.Error("a large file was kept")
			}
			continue
		}
		if err != nil || waited {
			t.Fatalf("%d bytes: waited %v, %v", size, waited, err)
		}
		if got := bytes.Join(data, nil); !bytes.Equal(got, content[:size]) {
			t.Errorf("%d bytes: something else is read", size)
		}
		release()
		if s := c.Stats(); s.BytesFetched != 0 {
			t.Errorf("%d bytes: %d count as fetched", size, s.BytesFetched)
		}
	}
}

// Who reads a small file between its being announced and its being taken over waits for that, and the store is asked
// for nothing; it is asked once that was given up.
func TestAdoptIsAwaited(t *testing.T) {
	for name, end := range map[string]func(*Adoption){"taken": func(a *Adoption) { a.Take() }, "given up": (*Adoption).Leave} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCache(t, newFakeStore(), MinMemory)
				v := objstore.Version{Bucket: "b", Key: "stored", ETag: "e", Size: 5}
				a := c.Adopt(v, storedFile(t, []byte("12345")))
				var got []byte
				var all sync.WaitGroup
				all.Go(func() {
					data, release, _, err := c.Read(t.Context(), v, objstore.Range{Len: 5})
					if err != nil {
						t.Error(err)
						return
					}
					got = bytes.Join(data, nil)
					release()
				})
				synctest.Wait()
				if got != nil || c.Stats().BytesFetched != 0 {
					t.Errorf("%q was read before the file was taken over", got)
				}
				end(a)
				all.Wait()
				if asked := c.Stats().BytesFetched != 0; asked != (name == "given up") || !asked && string(got) != "12345" {
					t.Errorf("%q was read; the store was asked: %v", got, asked)
				}
				if again := c.Adopt(v, storedFile(t, []byte("12345"))); again.stored == nil {
					t.Error("the version cannot be announced again")
				} else {
					again.Leave()
				}
			})
		})
	}
}

// What memory holds of a small file goes along when the store gives it another key.
func TestRenamedInMemory(t *testing.T) {
	c := newTestCache(t, newFakeStore(), MinMemory)
	from := objstore.Version{Bucket: "b", Key: "old", ETag: "e", Size: 5}
	to := objstore.Version{Bucket: "b", Key: "new", ETag: "f", Size: 5}
	c.Adopt(from, storedFile(t, []byte("12345"))).Take()
	c.Renamed(from, to)
	data, release, waited, err := c.Read(t.Context(), to, objstore.Range{Len: 5})
	if err != nil || waited {
		t.Fatalf("waited %v, %v", waited, err)
	}
	defer release()
	if got := string(bytes.Join(data, nil)); got != "12345" || c.Stats().BytesFetched != 0 {
		t.Errorf("%q is read, %d bytes are fetched", got, c.Stats().BytesFetched)
	}
}

// However many are stored, what is taken over evicts nothing and stays within the limit; a file that is shorter than it
// says is left to the store.
func TestAdoptIsBounded(t *testing.T) {
	c := newTestCache(t, newFakeStore(), MinMemory)
	file := storedFile(t, make([]byte, maxStored))
	var all sync.WaitGroup
	for n := range 4 * int(MinMemory/maxStored) {
		all.Go(func() {
			c.Adopt(objstore.Version{Bucket: "b", Key: fmt.Sprint("many-", n), ETag: "e", Size: maxStored}, file).Take()
		})
	}
	all.Wait()
	if s := c.Stats(); s.Evictions != 0 || s.MemoryUsed > s.MemoryLimit {
		t.Errorf("%d evicted, %d of %d used", s.Evictions, s.MemoryUsed, s.MemoryLimit)
	}
	short := objstore.Version{Bucket: "b", Key: "short", ETag: "e", Size: 4096}
	c.Adopt(short, storedFile(t, []byte("short"))).Take()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.index.find(short, 0) != nil || len(c.stored.of) > 0 {
		t.Errorf("a short file was taken over; %d contents are left", len(c.stored.of))
	}
}

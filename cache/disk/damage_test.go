package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDamage: what is not what was written is a miss, dropped, and can be written again.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"flipped bit": func(path string) error { return patch(path, 2*mib+12345, func(b []byte) { b[0] ^= 4 }) },
		"torn block":  func(path string) error { return patch(path, 2*mib+4096, func(b []byte) { clear(b) }) },
		"truncated":   func(path string) error { return os.Truncate(path, 2*mib+7) },
		"removed":     os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := versionOf("k", 5*mib)
			tier := openTier(t, Config{Dir: dir})
			keepAll(t, tier, v)
			path := tier.dir.dataFile(mustVersion(t, tier, v).id)
			if err := tier.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			tier = openTier(t, Config{Dir: dir})
			if got := found(t, tier, v, 0); got.Has(2) {
				t.Fatalf("found %05b", got)
			}
			if s := tier.Stats(); s.Corrupt+s.Lost == 0 {
				t.Errorf("not counted: %+v", s)
			}
			eventually(t, "dropped", func() bool { return !tier.Present(v, 0).Has(2) })
			eventually(t, "written again", func() bool {
				keepAll(t, tier, v)
				return found(t, tier, v, 0) == 0b11111
			})
			if s := tier.Stats(); s.Used != 5*mib {
				t.Errorf("%d bytes are used", s.Used)
			}
		})
	}
}

func patch(path string, off int64, change func([]byte)) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, 5000)
	if _, err := f.ReadAt(b, off); err != nil {
		return err
	}
	change(b)
	_, err = f.WriteAt(b, off)
	return err
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not", what)
		}
	}
}

// TestLostIndex: an index that is gone or makes no sense is an empty cache, and the data files go.
func TestLostIndex(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"gone":    os.Remove,
		"garbage": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("garbage "), 10_000), 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 5000) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v := versionOf("k", 5*mib)
			tier := openTier(t, Config{Dir: dir})
			keepAll(t, tier, v)
			if err := tier.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, indexFile)); err != nil {
				t.Fatal(err)
			}
			if name == "garbage" || name == "cut" { // who only looks leaves it to the next owner
				if tier, err := OpenExisting(Config{Dir: dir}); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%v, %v", tier, err)
				}
				if used := diskUsage(t, dir); used < v.Size {
					t.Fatalf("looking has left %d bytes", used)
				}
			}
			tier = openTier(t, Config{Dir: dir})
			found(t, tier, v, 0)
			eventually(t, "swept", func() bool { return diskUsage(t, dir) < mib || tier.Cached(v) == v.Size })
			keepAll(t, tier, v)
			if found(t, tier, v, 0) != 0b11111 {
				t.Error("not kept")
			}
		})
	}
}

// TestVerifyDrops: what verify finds is gone when it returns, from a cache at rest as well.
func TestVerifyDrops(t *testing.T) {
	dir := t.TempDir()
	v := versionOf("k", 3*ChunkSize)
	tier := openTier(t, Config{Dir: dir})
	keepAll(t, tier, v)
	path := tier.dir.dataFile(mustVersion(t, tier, v).id)
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{5, ChunkSize + 7*mib, 2*ChunkSize + 15*mib} {
		if err := patch(path, off, func(b []byte) { b[0]++ }); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{3, 0} {
		tier, err := OpenExisting(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		bad, err := tier.Verify(t.Context(), v)
		if bad != want || err != nil || tier.Cached(v) != v.Size-3*mib {
			t.Errorf("%d bad blocks, %v, %d bytes are left", bad, err, tier.Cached(v))
		}
		if err := tier.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

package disk

import (
	"bytes"
	"os"
	"syscall"
	"testing"
)

// TestLoan: a chunk is read through a loan without its owner, and when its space was given back it is not there: no
// other bytes.
func TestLoan(t *testing.T) {
	for name, size := range map[string]int64{"large": ChunkSize + 3*mib + 77, "small": 5000} {
		t.Run(name, func(t *testing.T) {
			tier := openTier(t, Config{Dir: t.TempDir(), Size: 64 * mib})
			v := versionOf("lent", size)
			keepAll(t, tier, v)
			last := (size - 1) / ChunkSize
			l := tier.Lend(v, last)
			if l == nil || tier.Lend(v, last+1) != nil || tier.Lend(versionOf("other", 1), 0) != nil {
				t.Fatal("what is there is not lent, or what is not is")
			}
			l.Borrow(v, last)
			defer l.Release()
			want := contentOf(v, last)
			for _, span := range [][2]int{{0, min(BlockSize, len(want))}, {17, min(4111, len(want))}} {
				got := make([]byte, span[1]-span[0])
				if !l.Read(got, span[0]) || !bytes.Equal(got, want[span[0]:span[1]]) {
					t.Errorf("bytes %v are not what was written", span)
				}
			}
			if l.Bad() {
				t.Error("right bytes are reported")
			}
			if _, err := tier.Evict(v); err != nil { // all of it: the file is removed, and the loan has it open
				t.Fatal(err)
			}
			if err := l.file.plain.Truncate(0); err == nil {
				t.Fatal("who has a loan can write")
			}
		})
	}
}

// TestLoanOfWhatIsGivenBack: the next read differs from its checksum.
func TestLoanOfWhatIsGivenBack(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir(), Size: 64 * mib})
	v := versionOf("lent", 2*ChunkSize)
	keepAll(t, tier, v)
	l := tier.Lend(v, 0)
	l.Borrow(v, 0)
	defer l.Release()
	if err := tier.order(func() error {
		r, _, err := tier.catalog.version(hashVersion(v))
		if err != nil {
			return err
		}
		gone, ok, err := tier.remove(chunkKey{r.id, 0})
		if !ok {
			t.Error("a loan keeps a chunk")
		}
		tier.evict(gone)
		tier.commit(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4096)
	if l.Read(got, 3*BlockSize+100) || !l.Bad() {
		t.Error("what was given back can be read")
	}
}

// TestLeaseOutlivesItsOwner: as long as anybody has the file of a lease open, no owner of the directory gives anything
// of it back.
func TestLeaseOutlivesItsOwner(t *testing.T) {
	dir := t.TempDir()
	tier := openTier(t, Config{Dir: dir, Size: 64 * mib})
	v := versionOf("leased", ChunkSize+3*mib)
	keepAll(t, tier, v)
	var l *Lease
	eventually(t, "a lease", func() bool { l = tier.Lease(v); return l != nil })
	fd, err := syscall.Dup(int(l.File().Fd())) // as the kernel or another process has it
	if err != nil {
		t.Fatal(err)
	}
	other := os.NewFile(uintptr(fd), "elsewhere")
	l.Release()
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}

	tier = openTier(t, Config{Dir: dir, Size: mib})
	shrinkNow(t, tier)
	if _, err := tier.Evict(v); err != nil {
		t.Fatal(err)
	}
	want, got := append(contentOf(v, 0), contentOf(v, 1)...), make([]byte, v.Size)
	if _, err := other.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) || tier.Cached(v) != v.Size {
		t.Errorf("what is leased was given back: %v, %d bytes are there", err, tier.Cached(v))
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	shrinkNow(t, tier)
	if n := tier.Cached(v); n > mib {
		t.Errorf("%d bytes stay after the lease", n)
	}
}

// shrinkNow evicts down to the limit.
func shrinkNow(t *testing.T, tier *Tier) {
	t.Helper()
	if err := tier.order(func() error { tier.shrink(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseIsOfWhatIsCommitted: the next owner would give the rest back.
func TestLeaseIsOfWhatIsCommitted(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir(), Size: 64 * mib})
	v := versionOf("leased", mib)
	keepAll(t, tier, v)
	var before, after *Lease
	if err := tier.order(func() error { // nobody else commits meanwhile
		tier.commit(nil)
		r, _, err := tier.catalog.version(hashVersion(v))
		tier.catalog.mark(hashVersion(v), r)
		before = tier.Lease(v)
		tier.commit(nil)
		after = tier.Lease(v)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if before != nil || after == nil {
		t.Fatalf("leased before its commit: %t; after: %t", before != nil, after != nil)
	}
	after.Release()
}

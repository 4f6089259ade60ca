package disk

import (
	"bytes"
	"math"
	"testing"
)

// TestLease: only of what is whole and was compared; the rest is compared in the background. What is leased is not
// evicted.
func TestLease(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Size: 40 * mib}
	tier := openTier(t, cfg)
	v := versionOf("leased", ChunkSize+3*mib)
	keep(t, tier, v, 0, 0b111)
	if tier.Lease(v) != nil {
		t.Fatal("a part was leased")
	}
	keepAll(t, tier, v)
	var l *Lease
	eventually(t, "committed: what was written just now counts as compared", func() bool { l = tier.Lease(v); return l != nil })
	l.Release()
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
	tier = openTier(t, cfg)
	if tier.Lease(v) != nil {
		t.Fatal("leased before it was compared")
	}
	eventually(t, "compared", func() bool { l = tier.Lease(v); return l != nil })
	if err := tier.order(func() error { _, err := tier.evictSome(10, math.MaxInt64); return err }); err != nil {
		t.Fatal(err)
	}
	want, got := append(contentOf(v, 0), contentOf(v, 1)...), make([]byte, v.Size)
	if n, err := l.File().ReadAt(got, 0); int64(n) != v.Size || err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", n, err)
	}
	l.Release()
	if err := tier.order(func() error { _, err := tier.evictSome(10, math.MaxInt64); return err }); err != nil {
		t.Fatal(err)
	}
	if tier.Lease(v) != nil || tier.Cached(v) != 0 {
		t.Error("it stays after the lease")
	}
	if n := tier.uses.leased(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

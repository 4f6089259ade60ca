package disk

import (
	"fmt"
	"maps"
	"testing"
)

// TestManage: what is there can be listed, pinned, verified and given up.
func TestManage(t *testing.T) {
	tier := openTier(t, Config{Dir: t.TempDir(), Size: 64 * mib})
	want := map[string]int64{}
	for i := range 300 { // more than are read at once
		v := versionOf(fmt.Sprint("o", i), int64(i+1))
		keepAll(t, tier, v)
		want[v.Key] = v.Size
	}
	large := versionOf("large", 3*mib)
	keepAll(t, tier, large)
	want[large.Key] = large.Size
	if err := tier.Pin(large, true); err != nil {
		t.Fatal(err)
	}
	if err := tier.check(); err != nil { // commits
		t.Fatal(err)
	}
	got := map[string]int64{}
	for e, err := range tier.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Version.Key] += e.Present
		if e.Pinned != (e.Version == large) {
			t.Errorf("%v: pinned %v", e.Version, e.Pinned)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d are listed, %d are there", len(got), len(want))
	}
	if bad, err := tier.Verify(t.Context(), large); bad != 0 || err != nil {
		t.Errorf("%d bad blocks, %v", bad, err)
	}
	if err := patch(tier.dir.dataFile(mustVersion(t, tier, large).id), mib+5, func(b []byte) { b[0]++ }); err != nil {
		t.Fatal(err)
	}
	if bad, err := tier.Verify(t.Context(), large); bad != 1 || err != nil {
		t.Errorf("%d bad blocks, %v", bad, err)
	}
	eventually(t, "dropped", func() bool { return tier.Cached(large) == 2*mib })
	if n, err := tier.Evict(large); n != 2*mib || err != nil {
		t.Errorf("%d bytes were given up, %v", n, err)
	}
	if tier.Cached(large) != 0 {
		t.Error("it is still there")
	}
	if err := tier.check(); err != nil {
		t.Error(err)
	}
}

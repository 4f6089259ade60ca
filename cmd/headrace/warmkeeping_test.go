package main

import (
	"testing"
	"testing/synctest"
	"time"

	headracefs "github.com/headrace/headrace/fs"
)

// A disk that has ever something else to write, for others, is waited for as long as it gets on with ours, and no
// longer.
func TestWaitForADiskThatOthersUse(t *testing.T) {
	const growsFor = 3 * stuck
	synctest.Test(t, func(t *testing.T) {
		begun, looks := time.Now(), int64(0)
		look := func() (headracefs.Keeping, bool) {
			looks++
			return headracefs.Keeping{OnDisk: int64(min(time.Since(begun), growsFor) / stuck), Refused: 1 + looks%2, Queued: 1 + looks%3}, time.Since(begun) < time.Hour
		}
		k, ok := waitFor(t.Context(), look, func(k headracefs.Keeping, _ time.Duration) bool { return k.Refused == 0 })
		if waited := time.Since(begun); !ok || k.OnDisk != 3 || waited < growsFor+stuck-lookAgain || waited > growsFor+stuck+lookAgain {
			t.Errorf("waited %v for %v: %v", waited, k, ok)
		}
	})
}

// What waits to be written may take long to become less, and is waited for meanwhile.
func TestWaitForADiskThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		look := func() (headracefs.Keeping, bool) {
			return headracefs.Keeping{Refused: max(0, 10-int64(time.Since(begun)/(stuck-time.Second)))}, true
		}
		if k, ok := waitFor(t.Context(), look, func(k headracefs.Keeping, _ time.Duration) bool { return k.Refused == 0 }); !ok || k.Refused != 0 {
			t.Errorf("given up after %v with %v: %v", time.Since(begun), k, ok)
		}
	})
}

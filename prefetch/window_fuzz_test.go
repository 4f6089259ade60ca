package prefetch

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// FuzzWindow reads anywhere in a file of any size. Whatever the pattern, the invariants hold, what somebody waits for
// is asked for by demand, and what is asked ahead stays within the lane's share.
func FuzzWindow(f *testing.F) {
	f.Add(uint32(4<<20), uint32(1024), []byte{0, 0, 0, 0, 0, 0, 255, 0})
	f.Add(uint32(100), uint32(16), []byte("every eight bytes are a read somewhere in the file"))
	f.Fuzz(func(t *testing.T, sizeKiB, budgetMiB uint32, script []byte) {
		size := int64(sizeKiB)<<10 + int64(sizeKiB%7)
		budget := max(int64(budgetMiB%65536), 1) << 20
		if size == 0 {
			return
		}
		w := newWindow(size, budget)
		now := time.Unix(1, 0)
		var open []int64
		for ; len(script) >= 8; script = script[8:] {
			word := binary.LittleEndian.Uint64(script)
			off, n := int64(word>>16)%size, int64(word&0xfff)<<8+1
			r := objstore.Range{Off: off, Len: n}.Intersect(objstore.Range{Len: size})
			part := allot(budget, w.active())
			now = now.Add(time.Duration(word>>12&15) * time.Second)
			open = append(open, w.read(r, part, now))
			check(t, w)
			checkAsks(t, w, r, part.budget)
			if word>>15&1 == 0 {
				w.done(open[0], outcome{at: now, took: time.Duration(word & 0xffffff), missed: word>>14&1 == 0, waited: word>>15&1 == 0})
				open = open[1:]
			}
			if word>>13&7 == 0 {
				w.idle(now.Add(-idleAfter))
			}
			check(t, w)
		}
	})
}

// checkAsks checks the asks of a read of r, answers them, and forgets them.
func checkAsks(t *testing.T, w *window, r objstore.Range, share int64) {
	waited, ahead := r.Off, int64(0)
	for i, a := range w.asks {
		if a.class == objstore.ClassDemand {
			if a.Off <= waited && waited < a.End() {
				waited = a.End()
			}
		} else {
			ahead += a.Len
		}
		accepted := a.Len
		if i%3 == 2 {
			accepted /= 2
		}
		w.answered(a, accepted, accepted/2)
	}
	if waited < r.End() {
		t.Fatalf("somebody waits for [%d,%d), and only what is before %d was asked for", r.Off, r.End(), waited)
	}
	if ahead > max(share, 2*ChunkSize) {
		t.Fatalf("%d bytes asked ahead with a share of %d", ahead, share)
	}
	w.asks = w.asks[:0]
}

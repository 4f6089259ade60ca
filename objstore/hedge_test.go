package objstore_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/cwsim"
	"github.com/headrace/headrace/objstore/faultstore"
	"github.com/headrace/headrace/objstore/memstore"
)

// hedgeTest reads from a store that stalls now and then, as a daemon does.
type hedgeTest struct {
	*testing.T
	store  *modelStore
	gate   *objstore.Gate
	hedger *objstore.Hedger
	bucket objstore.Bucket

	mu    sync.Mutex // guards times
	times []time.Duration
}

const hedgeBudget = 0.02

func newHedgeTest(t *testing.T) *hedgeTest {
	h := &hedgeTest{T: t, store: newModelStore(cwsim.Model{}), gate: objstore.NewGate(objstore.GateConfig{}), hedger: objstore.NewHedger(hedgeBudget)}
	h.bucket = objstore.NewRetry(h.hedger.Wrap(h.gate.Wrap(h.store)), objstore.RetryPolicy{})
	return h
}

// read has readers read so many ranges in all, each of size bytes, with the class c.
func (h *hedgeTest) read(c objstore.Class, readers, reads int, size int64) {
	h.Helper()
	v := objstore.Version{Bucket: "bucket", Key: "key", Size: size}
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			for range reads / readers {
				begun := time.Now()
				body, err := h.bucket.Open(of(h.Context(), c), v, objstore.Range{Len: size})
				if err != nil {
					h.Error(err)
					return
				}
				n, err := drain(body)
				if n != size || err != nil {
					h.Errorf("reader %d has %d bytes of %d, %v", i, n, size, err)
				}
				body.Close()
				h.mu.Lock()
				h.times = append(h.times, time.Since(begun))
				h.mu.Unlock()
			}
		})
	}
	all.Wait()
}

// drain reads a body by pieces of 64 KiB.
func drain(body io.Reader) (n int64, err error) {
	for p := make([]byte, 64<<10); err == nil; {
		var got int
		got, err = body.Read(p)
		n += int64(got)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// percentiles returns the median and the time that all but one in a thousand reads keep, and forgets the times.
func (h *hedgeTest) percentiles() (median, p999 time.Duration) {
	slices.Sort(h.times)
	median, p999 = h.times[len(h.times)/2], h.times[len(h.times)*999/1000]
	h.times = nil
	return median, p999
}

// end checks that nothing is left and that the budget was kept.
func (h *hedgeTest) end() {
	h.Helper()
	synctest.Wait()
	if _, active, _ := h.store.count(); active != 0 || h.gate.Stats().InUse != 0 {
		h.Errorf("afterwards %d GETs are under way, %d slots in use", active, h.gate.Stats().InUse)
	}
	if err := h.gate.Check(); err != nil {
		h.Error(err)
	}
	s := h.hedger.Stats()
	if firsts := h.store.opened - int(s.Tries); float64(s.Tries) > hedgeBudget*float64(firsts) {
		h.Errorf("%d second requests beside %d first ones", s.Tries, firsts)
	}
}

// every makes one GET in n stall at a byte.
func every(n int, at int64) func(int) int64 {
	return func(i int) int64 {
		if i%n == n/2 {
			return at
		}
		return stallNever
	}
}

// One GET in a hundred stalls for ten seconds, before its first byte or in its body, and next to no reader waits for
// it.
func TestHedgeHidesStalls(t *testing.T) {
	const size = 128 << 10
	for name, at := range map[string]int64{"before the headers": stallHeaders, "after the headers": 0, "in the body": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHedgeTest(t)
				h.read(objstore.ClassDemand, 32, 3200, size) // until it is known what is slow
				h.percentiles()
				h.store.stall = every(100, at)
				h.read(objstore.ClassDemand, 32, 16000, size)
				median, p999 := h.percentiles()
				s := h.hedger.Stats()
				if p999 >= 10*median {
					t.Errorf("p99.9 is %v, the median %v: want less than ten times as long; %+v", p999, median, s)
				}
				if s.Wins < 125 || s.Wins > s.Tries {
					t.Errorf("%d of %d second requests won", s.Wins, s.Tries)
				}
				h.end()
			})
		})
	}
}

// In a store whose ordinary requests are at times slow as well, those do not use up the budget that is for stalls.
func TestHedgeSparesTheBudget(t *testing.T) {
	const size = 64 << 10
	for _, tail := range []float64{0.5, 0.7} { // with 0.8, one in a thousand takes 11.8 medians without any stall
		t.Run(fmt.Sprintf("sigma %.1f", tail), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHedgeTest(t)
				h.store.tail = tail
				h.read(objstore.ClassDemand, 32, 3200, size)
				h.percentiles()
				h.store.stall = every(100, stallHeaders)
				h.read(objstore.ClassDemand, 32, 16000, size)
				if median, p999 := h.percentiles(); p999 >= 10*median {
					t.Errorf("p99.9 is %v, the median %v: want less than ten times as long; %+v", p999, median, h.hedger.Stats())
				} else {
					t.Logf("p99.9 is %v, the median %v; %+v", p999, median, h.hedger.Stats())
				}
				h.end()
			})
		})
	}
}

// What nobody waits for is not hedged, until somebody does.
func TestHedgeIsForDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedgeTest(t)
		h.read(objstore.ClassDemand, 10, 1000, 64<<10)
		h.store.stall = every(1, stallHeaders)
		begun := time.Now()
		ticket := objstore.NewTicket(objstore.ClassPrefetch)
		time.AfterFunc(2*time.Second, func() {
			h.store.mu.Lock()
			h.store.stall = every(1, stallNever)
			h.store.mu.Unlock()
			ticket.Raise(objstore.ClassDemand)
		})
		v := objstore.Version{Bucket: "bucket", Key: "key", Size: 1}
		body, err := h.bucket.Open(objstore.WithTicket(t.Context(), ticket), v, objstore.Range{Len: 1})
		if err != nil {
			t.Fatal(err)
		}
		body.Close()
		if took := time.Since(begun); took < 2*time.Second || took > 2*time.Second+200*time.Millisecond {
			t.Errorf("a prefetch that was raised after 2s took %v", took)
		}
		if s := h.hedger.Stats(); s.Tries != 1 || s.Wins != 1 {
			t.Errorf("%+v, want one try and one win", s)
		}
		h.end()
	})
}

// When all is slow, nothing is: beyond what was saved, second requests stay within the budget.
func TestHedgeNotWhenAllIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedgeTest(t)
		h.read(objstore.ClassDemand, 10, 2000, 64<<10)
		before := h.hedger.Stats().Tries
		h.store.first = 2 * time.Second
		h.read(objstore.ClassDemand, 60, 600, 64<<10)
		if tries := h.hedger.Stats().Tries - before; tries > 16+12 {
			t.Errorf("%d second requests for 600 slow ones", tries)
		}
		h.end()
	})
}

// A read that its reader gives up, in either wait and with a second request under way or not, leaves nothing.
func TestHedgeGivenUp(t *testing.T) {
	for name, at := range map[string]int64{"before the headers": stallHeaders, "after the headers": 0} {
		for _, after := range []time.Duration{5 * time.Millisecond, time.Second} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHedgeTest(t)
					h.read(objstore.ClassDemand, 10, 1000, 64<<10)
					h.store.stall = every(1, at)
					ctx, cancel := context.WithTimeout(t.Context(), after)
					defer cancel()
					v := objstore.Version{Bucket: "bucket", Key: "key", Size: 128 << 10}
					body, err := h.bucket.Open(ctx, v, objstore.Range{Len: v.Size})
					if err == nil {
						_, err = drain(body)
						body.Close()
					}
					if err == nil {
						t.Error("it was not given up")
					}
					h.end()
				})
			})
		}
	}
}

// When the object is replaced while its GET stands still, the second GET is refused, and the reader gets what the first
// one brings, or an error: never bytes of both contents.
func TestHedgeMixesNothing(t *testing.T) {
	for name, goesOn := range map[string]bool{"the first goes on": true, "the first breaks": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 1000
				faults := faultstore.New(memstore.New("bucket"))
				gate, hedger := objstore.NewGate(objstore.GateConfig{}), objstore.NewHedger(1)
				b := hedger.Wrap(gate.Wrap(faults))
				v := put(t, faults, "key", strings.Repeat("a", size))
				for range 100 { // until it is known what is slow
					body, err := b.Open(t.Context(), v, objstore.Range{Len: size})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := drain(body); err != nil {
						t.Fatal(err)
					}
					body.Close()
				}
				replace := func(ctx context.Context) error {
					put(t, faults, "key", strings.Repeat("b", size))
					if err := sleep(ctx, time.Second); err != nil || goesOn {
						return err
					}
					return io.ErrUnexpectedEOF
				}
				faults.Add(faultstore.Fault{Op: objstore.OpOpen, Times: 1, Body: faultstore.Body{After: 300, Hold: replace}})
				body, err := b.Open(t.Context(), v, objstore.Range{Len: size})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(body)
				body.Close()
				if want := strings.Repeat("a", len(got)); string(got) != want || (err == nil) != goesOn || (len(got) == size) != goesOn {
					t.Errorf("%d bytes, of which %d are of another content; %v", len(got), strings.Count(string(got), "b"), err)
				}
				synctest.Wait()
				s := hedger.Stats()
				if asked := faults.Count(objstore.OpOpen); s.Tries == 0 || s.Wins != 0 || asked != 101+int(s.Tries) || gate.Stats().InUse != 0 {
					t.Errorf("%d GETs, %+v, %d slots in use", asked, s, gate.Stats().InUse)
				}
			})
		})
	}
}

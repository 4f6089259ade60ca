package prefetch

import (
	"testing"
	"time"
)

// link is a store behind a network: each request of a chunk takes a time of its own, and all together have so much a
// second.
type link struct {
	request  time.Duration // for a chunk
	capacity float64       // bytes a second
}

// rate is how fast a reader goes that has window bytes under way.
func (l link) rate(window int64) float64 {
	return min(l.capacity, float64(window)/l.request.Seconds())
}

// read has a lane read n bytes over the link, and returns the largest window it had.
func (l link) read(c *climb, run *int64, now *time.Time, n, quick int64) (most int64) {
	for end := *run + n; *run < end; {
		*run += BlockSize
		*now = now.Add(time.Duration(float64(BlockSize) / l.rate(c.wanted) * float64(time.Second)))
		c.note(*run, *now, true, quick)
		most = max(most, c.wanted)
	}
	return most
}

// A window grows while that makes the reader faster, at once up to its part of what is quick, and then step by step;
// where it does not, the memory is given back, and it is tried again seldom.
func TestClimb(t *testing.T) {
	const gib = 1 << 30
	far := link{200 * time.Millisecond, 10 * gib}
	slow := link{20 * time.Millisecond, gib / 2}
	middling := link{200 * time.Millisecond, 600 << 20} // 120 MiB under way are enough
	for _, test := range []struct {
		name          string
		link          link
		lanes         int64
		read          int64
		least, most   int64 // the window at the end
		highest, soon int64 // the largest there was; the least after 256 MiB
	}{
		{"far alone", far, 1, 4 * gib, maxWindow, maxWindow, maxWindow, quickWindows},
		{"far with many", far, 16, 32 * gib, maxWindow, maxWindow, maxWindow, firstWindow},
		{"slow with many", slow, 16, 8 * gib, firstWindow, firstWindow, 3 * firstWindow / 2, firstWindow},
		{"slow alone", slow, 1, 8 * gib, quickWindows, quickWindows, 3 * quickWindows / 2, quickWindows},
		{"middling", middling, 4, 8 * gib, 3 * firstWindow / 2, 5 * firstWindow / 2, 4 * firstWindow, firstWindow},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, run, now := newClimb(), int64(0), time.Unix(1000, 0)
			quick := allot(gib, test.lanes).quick
			test.link.read(&c, &run, &now, 256<<20, quick)
			if c.wanted < test.soon {
				t.Errorf("a window of %d MiB after 256 MiB", c.wanted>>20)
			}
			if most := test.link.read(&c, &run, &now, test.read, quick); most > test.highest {
				t.Errorf("a window of %d MiB on the way", most>>20)
			}
			if c.wanted < test.least || c.wanted > test.most {
				t.Errorf("a window of %d MiB in the end", c.wanted>>20)
			}
		})
	}
}

// What was not worth it is tried again, so a window follows a network that changes.
func TestClimbFollows(t *testing.T) {
	c, run, now := newClimb(), int64(0), time.Unix(1000, 0)
	link{20 * time.Millisecond, 512 << 20}.read(&c, &run, &now, 2<<30, firstWindow)
	if c.wanted != firstWindow {
		t.Fatalf("a window of %d MiB where the capacity is the limit", c.wanted>>20)
	}
	link{200 * time.Millisecond, 10 << 30}.read(&c, &run, &now, 32<<30, firstWindow)
	if c.wanted != maxWindow {
		t.Errorf("a window of %d MiB where the distance is the limit", c.wanted>>20)
	}
}

// A reader that finds its bytes needs no larger window.
func TestClimbOnlyWhileWaiting(t *testing.T) {
	c, now := newClimb(), time.Unix(1000, 0)
	for run := int64(BlockSize); run < 8<<30; run += BlockSize {
		now = now.Add(time.Millisecond)
		if c.note(run, now, false, quickWindows); c.wanted != firstWindow {
			t.Fatalf("a window of %d MiB after %d MiB", c.wanted>>20, run>>20)
		}
	}
}

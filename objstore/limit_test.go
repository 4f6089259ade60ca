package objstore

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"
)

// check tests the invariants.
func (l *limitFollower) check() error {
	switch {
	case l.limit < 1 || l.limit > l.max:
		return fmt.Errorf("limit %d is not between 1 and %d", l.limit, l.max)
	case l.trial == climbing && l.base >= l.limit, l.trial == falling && l.base <= l.limit:
		return fmt.Errorf("a trial of %d from %d is no %v", l.limit, l.base, l.trial)
	}
	return nil
}

func (t trial) String() string { return [...]string{"steady", "climbing", "falling"}[t] }

// limitScript drives a follower by lines of a script and writes the state after each:
//
//	look MIB ANSWERS [waiting]   a window of half a second ends: so many MiB and answers; with 0 MiB, to requests without bodies
//	throttled SENT_AGO RETRY_AFTER
//	hung REQUESTS                          the store serves none of so many
//	idle TIME                              time passes
type limitScript struct {
	*testing.T
	follower limitFollower
	now      time.Duration
}

func (s *limitScript) line(line string) string {
	s.Helper()
	var a, b string
	var mib, answers int
	switch fields := strings.Fields(line); fields[0] {
	case "look":
		s.scan(fmt.Sscan(strings.Join(fields[1:3], " "), &mib, &answers))
		s.now += windowTime
		s.follower.look(s.now, window{bytes: int64(mib) << 20, answers: answers, served: answers, carriers: min(mib, 1) * answers, waiting: len(fields) == 4})
	case "throttled":
		s.scan(fmt.Sscan(strings.Join(fields[1:], " "), &a, &b))
		s.follower.throttled(s.now, s.now-s.duration(a), s.duration(b))
	case "hung":
		s.scan(fmt.Sscan(fields[1], &answers))
		s.follower.hung(s.now, answers)
	case "idle":
		s.now += s.duration(fields[1])
		s.follower.opened = s.now
	default:
		s.Fatalf("no command in %q", line)
	}
	if err := s.follower.check(); err != nil {
		s.Errorf("after %q: %v", line, err)
	}
	state := fmt.Sprintf("%d %v", s.follower.limit, s.follower.trial)
	if s.follower.paused(s.now, ClassPrefetch) {
		state += fmt.Sprintf(" paused for %v", s.follower.pausedUntil-s.now)
	}
	return state
}

func (s *limitScript) scan(_ int, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *limitScript) duration(text string) time.Duration {
	s.Helper()
	d, err := time.ParseDuration(text)
	s.scan(0, err)
	return d
}

// Each script is lines of a command, "->", and the state after it.
//
//go:embed testdata/limit.txt
var limitScripts string

// testdata/limit.txt has scripts, each below its name: a command, and the state after it.
func TestLimitScripts(t *testing.T) {
	for script := range strings.SplitSeq(limitScripts, "\n\n") {
		name, lines, _ := strings.Cut(strings.TrimPrefix(script, "# "), "\n")
		t.Run(name, func(t *testing.T) {
			s := limitScript{T: t, follower: newLimitFollower(0, 0)}
			for line := range strings.Lines(strings.TrimSpace(lines)) {
				command, want, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				if got := s.line(command); got != want {
					t.Fatalf("%q gives %q, want %q", command, got, want)
				}
			}
		})
	}
}

func TestLimitBounds(t *testing.T) {
	for _, c := range []struct{ start, highest, want int }{{0, 0, 64}, {0, 10, 10}, {5, 100, 5}, {500, 100, 100}, {0, 1, 1}} {
		l := newLimitFollower(c.start, c.highest)
		if l.limit != c.want {
			t.Errorf("start %d and max %d begin at %d, want %d", c.start, c.highest, l.limit, c.want)
		}
		if l.throttled(time.Second, time.Second/2, 0); l.check() != nil || l.limit < min(c.want, throttleFloor) {
			t.Errorf("start %d and max %d are throttled to %d", c.start, c.highest, l.limit)
		}
	}
}

// Whatever the limit, a lone request of each class may start, and the urgent ones find slots that prefetch leaves.
func TestLimitCeilings(t *testing.T) {
	for limit := 1; limit <= 300; limit++ {
		l := newLimitFollower(limit, limit)
		above := limit
		for c := range Class(NumClasses) {
			if ceiling := l.ceiling(c); ceiling < 1 || ceiling > above {
				t.Errorf("limit %d: ceiling %d of %v, want 1 to %d", limit, ceiling, c, above)
			} else {
				above = ceiling
			}
		}
		if kept := limit - l.ceiling(ClassPrefetch); limit > 1 && (kept < 1 || kept > 16) {
			t.Errorf("limit %d keeps %d slots from prefetch", limit, kept)
		}
	}
}

// model is a store: how much work it does for one request, and at most.
type model struct{ perRequest, total float64 } // MiB/s

// run lets a follower face the store under full load and returns the limit it has come to.
func (m model) run(t *testing.T, l limitFollower, windows int) int {
	for range windows {
		rate := min(float64(l.limit)*m.perRequest, m.total)
		l.look(l.opened+windowTime, window{bytes: int64(rate * windowTime.Seconds() * (1 << 20)), answers: 100, served: 100, carriers: 100, waiting: true})
		if err := l.check(); err != nil {
			t.Fatal(err)
		}
	}
	return l.limit
}

// The limit finds the place where a store does its best work, from either side.
func TestLimitFollowsStores(t *testing.T) {
	for _, c := range []struct {
		name      string
		store     model
		low, high int
	}{
		{"a fast network wants more than the start", model{perRequest: 80, total: 12_000}, 140, 200},
		{"no bottleneck in sight", model{perRequest: 80, total: 1e9}, 225, 300},
		{"a slow uplink wants fewer", model{perRequest: 80, total: 800}, 24, 30},
		{"a local server", model{perRequest: 1000, total: 1000}, 24, 30},
	} {
		for _, start := range []int{64, 300} {
			if got := c.store.run(t, newLimitFollower(start, 0), 200); got < c.low || got > c.high {
				t.Errorf("%s: limit %d from %d after 200 windows, want %d to %d", c.name, got, start, c.low, c.high)
			}
		}
	}
}

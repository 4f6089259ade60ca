package objstore

import (
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
func TestLimitScripts(t *testing.T) {
	for name, script := range map[string]string{
		"without waiting requests the limit stays": `
			look 100 100 -> 64 steady
			look 900 900 -> 64 steady`,
		"it climbs while that brings work, stops when it does not, and tries less": `
			look 1000 64 waiting -> 80 climbing
			look 1250 80 waiting -> 100 climbing
			look 1400 90 waiting -> 125 climbing
			look 1410 90 waiting -> 100 steady
			look 1400 90 waiting -> 88 falling
			look 1100 90 waiting -> 100 steady
			look 1400 90 waiting -> 100 steady
			idle 5s              -> 100 steady
			look 1400 90 waiting -> 112 climbing
			look 1600 90 waiting -> 140 climbing`,
		"it climbs to the maximum and no further": `
			look 1000 64 waiting  -> 80 climbing
			look 1250 80 waiting  -> 100 climbing
			look 1500 99 waiting  -> 125 climbing
			look 2000 99 waiting  -> 156 climbing
			look 2500 99 waiting  -> 195 climbing
			look 3000 99 waiting  -> 243 climbing
			look 3500 99 waiting  -> 300 climbing
			look 4500 99 waiting  -> 225 falling
			look 3500 99 waiting  -> 300 steady
			look 4500 99 waiting  -> 300 steady`,
		"small requests are work too": `
			look 4 4000 waiting -> 80 climbing
			look 5 5000 waiting -> 100 climbing
			look 5 5000 waiting -> 80 steady`,
		"names alone are work too": `
			look 0 4000 waiting -> 80 climbing
			look 0 5000 waiting -> 100 climbing
			look 0 5000 waiting -> 80 steady`,
		"but not beside data, of which they prove nothing": `
			look 0 4000 waiting  -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 80 climbing
			look 0 4000 waiting  -> 64 steady
			look 1000 64 waiting -> 80 climbing
			look 1250 80 waiting -> 100 climbing`,
		"a climb that was not needed in the end is kept if it brought work": `
			look 1000 64 waiting -> 80 climbing
			look 1250 80         -> 80 steady`,
		"a trial is not held against a direction when there was too little to do": `
			look 1000 64 waiting -> 80 climbing
			look 200 20          -> 64 steady
			look 1000 64 waiting -> 80 climbing`,
		"it falls while that costs no work": `
			look 1000 64 waiting -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 1000 64 waiting -> 42 falling
			look 985 64 waiting  -> 32 falling
			look 750 64 waiting  -> 42 steady
			look 985 64 waiting  -> 42 steady`,
		"falls in a row may not cost work bit by bit": `
			look 1000 64 waiting -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 990 48 waiting  -> 42 falling
			look 960 36 waiting  -> 56 steady`,
		"falls leave enough for the network": `
			look 1000 64 waiting -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 1000 48 waiting -> 42 falling
			look 1000 36 waiting -> 32 falling
			look 1000 27 waiting -> 24 falling
			look 1000 24 waiting -> 24 steady
			idle 5s              -> 24 steady
			look 1000 24 waiting -> 30 climbing`,
		"falls that are taken back become rare": `
			look 1000 64 waiting -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 750 48 waiting  -> 64 steady
			idle 10s             -> 64 steady
			look 1000 64 waiting -> 72 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 750 48 waiting  -> 64 steady
			idle 10s             -> 64 steady
			look 1000 64 waiting -> 72 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 64 steady`,
		"a store that has changed is tried anew at once": `
			look 1000 64 waiting -> 80 climbing
			look 1000 64 waiting -> 64 steady
			look 1000 64 waiting -> 56 falling
			look 750 48 waiting  -> 64 steady
			look 1000 64 waiting -> 64 steady
			look 700 64 waiting  -> 64 steady
			look 1000 64 waiting -> 64 steady
			look 700 64 waiting  -> 64 steady
			look 700 64 waiting  -> 48 falling
			look 900 48 waiting  -> 36 falling`,
		"throttling halves the limit once for all that was under way": `
			throttled 10ms 0s -> 32 steady
			idle 5ms          -> 32 steady
			throttled 10ms 0s -> 32 steady
			idle 100ms        -> 32 steady
			throttled 10ms 0s -> 16 steady
			idle 100ms        -> 16 steady
			throttled 10ms 0s -> 8 steady
			idle 100ms        -> 8 steady
			throttled 10ms 0s -> 4 steady
			idle 100ms        -> 4 steady
			throttled 10ms 0s -> 4 steady`,
		"throttling ends a climb, and climbs are careful afterwards": `
			look 1000 64 waiting -> 80 climbing
			throttled 10ms 0s    -> 40 steady
			look 600 64 waiting  -> 40 steady
			idle 2s              -> 40 steady
			look 600 64 waiting  -> 42 climbing
			look 630 64 waiting  -> 44 climbing
			idle 1m              -> 44 climbing
			look 660 64 waiting  -> 64 climbing`,
		"from little it doubles": `
			throttled 10ms 0s   -> 32 steady
			idle 100ms          -> 32 steady
			throttled 10ms 0s   -> 16 steady
			idle 1m             -> 16 steady
			look 160 64 waiting -> 32 climbing
			look 320 64 waiting -> 64 climbing
			look 640 64 waiting -> 80 climbing`,
		"prefetch pauses for as long as the store asks, within reason": `
			throttled 10ms 2s -> 32 steady paused for 2s
			idle 1s           -> 32 steady paused for 1s
			throttled 2s 500ms -> 32 steady paused for 1s
			idle 1s           -> 32 steady
			throttled 10ms 1h -> 16 steady paused for 30s`,
	} {
		t.Run(name, func(t *testing.T) {
			s := limitScript{T: t, follower: newLimitFollower(0, 0)}
			for line := range strings.Lines(strings.TrimSpace(script)) {
				command, want, _ := strings.Cut(strings.TrimSpace(line), "->")
				if got := s.line(command); got != strings.TrimSpace(want) {
					t.Fatalf("%q gives %q, want %q", command, got, strings.TrimSpace(want))
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

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
//	look MIB ANSWERS FIRSTBYTE [waiting]   a window of half a second ends: so many MiB, answers, mean time to the first byte
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
		s.scan(fmt.Sscan(strings.Join(fields[1:4], " "), &mib, &answers, &a))
		s.now += windowTime
		s.follower.look(s.now, window{
			bytes: int64(mib) << 20, answers: answers, reads: answers,
			firstByte: s.duration(a) * time.Duration(answers), waiting: len(fields) == 5,
		})
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
			look 100 100 20ms   -> 64 steady
			look 900 900 90ms   -> 64 steady`,
		"it climbs while that brings work, and stops when it does not": `
			look 1000 64 20ms waiting -> 80 climbing
			look 1250 80 20ms waiting -> 100 climbing
			look 1400 90 21ms waiting -> 125 climbing
			look 1410 90 24ms waiting -> 100 steady
			look 1400 90 21ms waiting -> 100 steady
			idle 10s                  -> 100 steady
			look 1400 90 21ms waiting -> 125 climbing`,
		"it climbs to the maximum and no further": `
			look 1000 64 20ms waiting  -> 80 climbing
			look 1250 80 20ms waiting  -> 100 climbing
			look 1500 99 20ms waiting  -> 125 climbing
			look 2000 99 20ms waiting  -> 156 climbing
			look 2500 99 20ms waiting  -> 195 climbing
			look 3000 99 20ms waiting  -> 243 climbing
			look 3500 99 20ms waiting  -> 300 climbing
			look 4500 99 20ms waiting  -> 300 steady
			look 4500 99 20ms waiting  -> 300 steady`,
		"small requests are work too": `
			look 4 4000 5ms waiting -> 80 climbing
			look 5 5000 5ms waiting -> 100 climbing
			look 5 5000 6ms waiting -> 80 steady`,
		"it falls when answers get slow and bring nothing, and keeps what costs no work": `
			look 100 50 20ms          -> 64 steady
			look 1000 64 80ms waiting -> 80 climbing
			look 1000 64 99ms waiting -> 64 steady
			look 1000 64 80ms waiting -> 48 falling
			look 1000 64 60ms waiting -> 36 falling
			look 980 64 45ms waiting  -> 36 steady
			look 990 64 45ms waiting  -> 36 steady`,
		"falls in a row may not cost work bit by bit": `
			look 100 50 20ms           -> 64 steady
			look 1000 64 200ms waiting -> 80 climbing
			look 1000 64 200ms waiting -> 64 steady
			look 1000 64 200ms waiting -> 48 falling
			look 970 48 150ms waiting  -> 36 falling
			look 930 36 110ms waiting  -> 48 steady`,
		"falls because of latency leave enough for the network": `
			look 100 50 20ms           -> 64 steady
			look 1000 64 900ms waiting -> 80 climbing
			look 1000 64 900ms waiting -> 64 steady
			look 1000 64 900ms waiting -> 48 falling
			look 1000 48 900ms waiting -> 36 falling
			look 1000 36 900ms waiting -> 27 falling
			look 1000 27 900ms waiting -> 24 falling
			look 1000 24 900ms waiting -> 24 steady`,
		"a fall that costs work is taken back, and the store is known to be slow": `
			look 100 50 20ms           -> 64 steady
			look 1000 64 200ms waiting -> 80 climbing
			look 1000 64 200ms waiting -> 64 steady
			look 1000 64 200ms waiting -> 48 falling
			look 750 48 200ms waiting  -> 64 steady
			look 1000 64 200ms waiting -> 64 steady
			idle 10s                   -> 64 steady
			look 1000 64 200ms waiting -> 80 climbing`,
		"microseconds are not slowness": `
			look 100 50 1ms          -> 64 steady
			look 1000 64 9ms waiting -> 80 climbing
			look 1000 64 9ms waiting -> 64 steady
			look 1000 64 9ms waiting -> 64 steady`,
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
			look 1000 64 20ms waiting -> 80 climbing
			throttled 10ms 0s         -> 40 steady
			look 600 64 20ms waiting  -> 40 steady
			idle 2s                   -> 40 steady
			look 600 64 20ms waiting  -> 42 climbing
			look 630 64 20ms waiting  -> 44 climbing
			idle 1m                   -> 44 climbing
			look 660 64 20ms waiting  -> 55 climbing`,
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

// model is a store: how much work it does at once, and how long a first byte takes.
type model struct {
	perRequest float64       // MiB/s of one connection
	total      float64       // MiB/s of all
	first      time.Duration // when not loaded
}

// run lets a follower face the store under full load and returns the limit it has come to.
func (m model) run(t *testing.T, l limitFollower, windows int) int {
	var now time.Duration
	l.look(windowTime, window{answers: 10, reads: 10, firstByte: 10 * m.first})
	for range windows {
		now = l.opened + windowTime
		rate := min(float64(l.limit)*m.perRequest, m.total)
		queueing := float64(l.limit) * m.perRequest / m.total // requests share the bottleneck
		latency := time.Duration(float64(m.first) * max(1, queueing))
		l.look(now, window{
			bytes: int64(rate * windowTime.Seconds() * (1 << 20)), answers: 100, reads: 100, firstByte: 100 * latency, waiting: true,
		})
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
		{"a fast network wants more than the start", model{perRequest: 80, total: 12_000, first: 20 * time.Millisecond}, 140, 300},
		{"no bottleneck in sight", model{perRequest: 80, total: 1e9, first: 20 * time.Millisecond}, 300, 300},
		{"a slow uplink wants fewer", model{perRequest: 80, total: 800, first: 20 * time.Millisecond}, 24, 48},
		{"a local server", model{perRequest: 1000, total: 1000, first: 2 * time.Millisecond}, 24, 24},
	} {
		if got := c.store.run(t, newLimitFollower(0, 0), 200); got < c.low || got > c.high {
			t.Errorf("%s: limit %d after 200 windows, want %d to %d", c.name, got, c.low, c.high)
		}
	}
}

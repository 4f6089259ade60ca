package objstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// check tests the invariants.
func (t partitionTable) check() error {
	if len(t) > maxPartitions {
		return fmt.Errorf("%d partitions", len(t))
	}
	for i, p := range t {
		if p.limit < 1 {
			return fmt.Errorf("%q has a limit of %d", p.prefix, p.limit)
		}
		for _, o := range t[i+1:] {
			if p.bucket == o.bucket && (strings.HasPrefix(p.prefix, o.prefix) || strings.HasPrefix(o.prefix, p.prefix)) {
				return fmt.Errorf("keys are in both %q and %q", p.prefix, o.prefix)
			}
		}
	}
	return nil
}

// partitionScript drives a table by lines of a script and writes the partitions after each:
//
//	throttled KEY [SENT_AGO]   with ten requests under way in each partition
//	full KEY                   a request is refused for want of a slot
//	idle TIME                  time passes, and limits grow
type partitionScript struct {
	*testing.T
	table partitionTable
	now   time.Duration
}

func (s *partitionScript) line(line string) string {
	s.Helper()
	fields := strings.Fields(line)
	at := place{"b", fields[1]}
	switch fields[0] {
	case "throttled":
		s.now += time.Millisecond
		sent := s.now
		if len(fields) > 2 {
			sent -= s.duration(fields[2])
		}
		local, changed := s.table.throttled(s.now, sent, at, 0)
		for _, p := range s.table {
			p.inUse = 10
		}
		if changed {
			s.table.settle(s.now)
		}
		if !local {
			return "the whole store"
		}
	case "full":
		if p := s.table.find(at); p != nil {
			p.inUse = p.limit
		}
		if s.table.admits(s.now, ClassDemand, at) {
			s.Errorf("%q starts", at.key)
		}
	case "idle":
		s.now += s.duration(fields[1])
		s.table.grow(s.now, 64)
	default:
		s.Fatalf("no command in %q", line)
	}
	if err := s.table.check(); err != nil {
		s.Errorf("after %q: %v", line, err)
	}
	var state []string
	for _, p := range s.table {
		state = append(state, fmt.Sprintf("%s:%d", p.prefix, p.limit))
	}
	slices.Sort(state)
	return strings.Join(state, " ")
}

func (s *partitionScript) duration(text string) time.Duration {
	s.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

func TestPartitionScripts(t *testing.T) {
	for name, script := range map[string]string{
		"a refusal is of its directory": `
			throttled a/x/1     -> a/x/:5
			throttled a/y/1     -> a/x/:5 a/y/:5
			throttled b/1       -> a/x/:5 a/y/:5 b/:5`,
		"of a bucket without directories it is the store's": `
			throttled 1         -> the whole store
			throttled 2         -> the whole store`,
		"it halves once for all that was under way": `
			throttled a/1       -> a/:5
			throttled a/2 100ms -> a/:5
			throttled a/3       -> a/:2
			throttled a/3       -> a/:1
			throttled a/3       -> a/:1`,
		"a directory has those in it": `
			throttled a/x/1     -> a/x/:5
			throttled b/1       -> a/x/:5 b/:5
			throttled a/1       -> a/:5 b/:5`,
		"the limit grows while it keeps somebody waiting, and the partition is forgotten when it does not": `
			throttled a/1       -> a/:5
			idle 3s             -> a/:5
			full a/1            -> a/:5
			idle 500ms          -> a/:6
			idle 500ms          -> a/:6
			full a/1            -> a/:6
			idle 500ms          -> a/:7
			idle 59s            -> a/:7
			idle 1s             ->`,
		"of many that begin alike is made one": `
			throttled 0a1b2c/k  -> 0a1b2c/:5
			throttled 0a7777/k  -> 0a1b2c/:5 0a7777/:5
			throttled 0b1111/k  -> 0a1b2c/:5 0a7777/:5 0b1111/:5
			throttled 0c1111/k  -> 0a1b2c/:5 0a7777/:5 0b1111/:5 0c1111/:5
			throttled 0d1111/k  -> 0a1b2c/:5 0a7777/:5 0b1111/:5 0c1111/:5 0d1111/:5
			throttled 0e1111/k  -> 0a1b2c/:5 0a7777/:5 0b1111/:5 0c1111/:5 0d1111/:5 0e1111/:5
			throttled 0f1111/k  -> 0a1b2c/:5 0a7777/:5 0b1111/:5 0c1111/:5 0d1111/:5 0e1111/:5 0f1111/:5
			throttled 011111/k  -> 011111/:5 0a1b2c/:5 0a7777/:5 0b1111/:5 0c1111/:5 0d1111/:5 0e1111/:5 0f1111/:5
			throttled 021111/k  -> 011111/:5 021111/:5 0a:10 0b1111/:5 0c1111/:5 0d1111/:5 0e1111/:5 0f1111/:5
			throttled 031111/k  -> 0:45`,
		"of many that do not, the store": `
			throttled a/k  -> a/:5
			throttled b/k  -> a/:5 b/:5
			throttled c/k  -> a/:5 b/:5 c/:5
			throttled d/k  -> a/:5 b/:5 c/:5 d/:5
			throttled e/k  -> a/:5 b/:5 c/:5 d/:5 e/:5
			throttled f/k  -> a/:5 b/:5 c/:5 d/:5 e/:5 f/:5
			throttled g/k  -> a/:5 b/:5 c/:5 d/:5 e/:5 f/:5 g/:5
			throttled h/k  -> a/:5 b/:5 c/:5 d/:5 e/:5 f/:5 g/:5 h/:5
			throttled i/k  -> the whole store
			full a/k       ->`,
	} {
		t.Run(name, func(t *testing.T) {
			s := partitionScript{T: t}
			for line := range strings.Lines(strings.TrimSpace(script)) {
				command, want, _ := strings.Cut(strings.TrimSpace(line), "->")
				if strings.HasPrefix(command, "full") && strings.TrimSpace(want) == "" {
					if !s.table.admits(s.now, ClassDemand, place{"b", "a/k"}) {
						t.Error("something is held back that nothing throttles")
					}
					continue
				}
				if got := s.line(command); got != strings.TrimSpace(want) {
					t.Fatalf("%q gives %q, want %q", command, got, strings.TrimSpace(want))
				}
			}
		})
	}
}

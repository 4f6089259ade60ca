package bench

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "1234 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100"
	if got, err := parseStat(line); err != nil || got != 3*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (a) S 1 2", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 50"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestParsePeak(t *testing.T) {
	if got, err := parsePeak("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"); err != nil || got != 2*mib {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parsePeak("Name:\tx\n"); err == nil {
		t.Error("taken")
	}
}

func TestParseMetrics(t *testing.T) {
	text := "# HELP a b\n# TYPE a counter\na 1\nb{op=\"Get Object\"} 2\nb{op=\"}\"} 3.5\nc 1e+06\n\n"
	got, err := parseMetrics(strings.NewReader(text))
	if want := map[string]float64{"a": 1, "b": 5.5, "c": 1e6}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"a\n", "a b\n"} {
		if got, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

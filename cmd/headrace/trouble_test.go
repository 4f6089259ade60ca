package main

import (
	"testing"
	"time"
)

// Trouble is reported when it has lasted, and once in a while.
func TestTrouble(t *testing.T) {
	var tr trouble
	start := time.Unix(1_000_000, 0)
	for _, step := range []struct {
		failing, at time.Duration
		want        bool
	}{
		{0, 0, false},
		{troubleAfter - 1, 0, false},
		{troubleAfter, 0, true},
		{troubleAfter + 1, 1, false},
		{time.Minute, troubleEvery - 1, false},
		{troubleAfter, troubleEvery, true},
		{troubleAfter, troubleEvery + 1, false},
	} {
		if got := tr.report(step.failing, start.Add(step.at)); got != step.want {
			t.Errorf("failing for %v, at %v: %v", step.failing, step.at, got)
		}
	}
}

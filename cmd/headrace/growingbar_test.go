package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/schollz/progressbar/v3"
)

// The time left is not shown before it is known how much there is, and a bar that has caught up with what was found goes on.
func TestGrowingBar(t *testing.T) {
	var shown strings.Builder
	b := newGrowingBar(&shown, progressbar.OptionSetVisibility(true), progressbar.OptionThrottle(0), progressbar.OptionShowIts())
	timeLeft := regexp.MustCompile(`\[[0-9hms]+:[0-9hms]+\]`)
	for _, found := range []int64{2, 4} {
		b.find(found)
		b.add(1)
		b.add(1)
	}
	if s := shown.String(); !strings.Contains(s, "(4/5") || timeLeft.MatchString(s) {
		t.Errorf("while not all is found: %q", s)
	}
	shown.Reset()
	b.all(10)
	b.find(12) // the slower listing says no news
	b.add(1)
	if s := shown.String(); !strings.Contains(s, "(5/10") || !timeLeft.MatchString(s) {
		t.Errorf("when all is found: %q", s)
	}
	b.end()
}

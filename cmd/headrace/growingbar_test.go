package main

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/schollz/progressbar/v3"
)

// The time left is not shown before it is known how much there is, and a bar that has caught up with what was found
// goes on.
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

// Where somebody looks, how much there is is found by a listing that does not wait for the work; one that fails says
// nothing.
func TestGrowingBarCountsAhead(t *testing.T) {
	for _, fails := range []error{nil, errors.New("no listing")} {
		b := newGrowingBar(io.Discard)
		if b.countAhead(t.Context(), func(context.Context, func(int64)) error {
			t.Error("it is counted where nobody looks")
			return nil
		})(); b.found != 0 {
			t.Errorf("found %d", b.found)
		}
		b.seen = true
		counted := make(chan struct{})
		stop := b.countAhead(t.Context(), func(ctx context.Context, found func(int64)) error {
			defer close(counted)
			found(3)
			found(4)
			return fails
		})
		<-counted
		stop()
		if b.found != 7 || b.whole != (fails == nil) {
			t.Errorf("%v: found %d, all of it %t", fails, b.found, b.whole)
		}
		stop = b.countAhead(t.Context(), func(ctx context.Context, _ func(int64)) error {
			<-ctx.Done() // it goes on until it is told to end
			return ctx.Err()
		})
		stop()
	}
}

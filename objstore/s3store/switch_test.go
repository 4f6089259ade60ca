package s3store

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A script of what happens at LOTA, with the state after each step.
func TestEndpointSwitch(t *testing.T) {
	var s endpointSwitch
	for i, step := range strings.Split(strings.TrimSpace(`
failed      -> near 1
answered    -> near 0
failed      -> near 1
failed      -> near 2
failed      -> origin 2s !
failed      -> origin 2s
silent      -> origin 4s
silent      -> origin 8s
answers     -> origin 2s
silent      -> origin 4s
answers     -> origin 2s
answers     -> near 0 !
answers     -> near 0
unreachable -> origin 2s !
silent      -> origin 4s
silent      -> origin 8s
silent      -> origin 16s
silent      -> origin 32s
silent      -> origin 1m0s
silent      -> origin 1m0s
answers     -> origin 2s
answers     -> near 0 !
`), "\n") {
		what, want, _ := strings.Cut(step, "->")
		changed := false
		switch strings.TrimSpace(what) {
		case "failed":
			changed = s.failed(false)
		case "unreachable":
			changed = s.failed(true)
		case "answered":
			s.answered()
		case "answers":
			changed = s.asked(true)
		case "silent":
			changed = s.asked(false)
		}
		got := fmt.Sprint("near ", s.failures)
		if s.origin {
			got = fmt.Sprint("origin ", s.pause.Round(time.Second))
		}
		if changed {
			got += " !"
		}
		if got != strings.TrimSpace(want) {
			t.Fatalf("step %d, %s: %s", i+1, step, got)
		}
	}
}

package objstore

import (
	"testing"
	"time"
)

// paced is a pace that has seen waits of 1 to 64 ms for first bytes.
func paced(budget float64) *hedgePace {
	p := &hedgePace{budget: budget}
	for i := range hedgeRecent {
		p.answers.add(time.Duration(i+1) * time.Millisecond)
	}
	return p
}

// What is slow follows the recent median, counts unfinished waits as long, and is not known at first nor when most are
// unfinished.
func TestHedgeSlow(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hedgePace)
		inBody bool
		want   time.Duration // 0: not known
	}{
		"median of the recent":       {func(*hedgePace) {}, false, 4 * 33 * time.Millisecond},
		"unfinished ones are long":   {func(p *hedgePace) { p.late = 20 }, false, 4 * 43 * time.Millisecond},
		"most are unfinished":        {func(p *hedgePace) { p.late = 64 }, false, 0},
		"nothing is known":           {func(p *hedgePace) { p.answers = recentTimes{} }, false, 0},
		"too little is known":        {func(p *hedgePace) { p.answers = recentTimes{count: hedgeLearned - 1} }, false, 0},
		"not below what is noise":    {func(p *hedgePace) { p.answers = recentTimes{count: hedgeRecent} }, false, hedgeFloor},
		"bodies as first bytes":      {func(*hedgePace) {}, true, 4 * 33 * time.Millisecond},
		"bodies with longer gaps":    {withGaps(time.Second), true, 4 * time.Second},
		"bodies with shorter gaps":   {withGaps(time.Millisecond), true, 4 * 33 * time.Millisecond},
		"gaps say nothing of firsts": {withGaps(time.Second), false, 4 * 33 * time.Millisecond},
		"the budget is used up":      {func(p *hedgePace) { p.saved = 0 }, false, 7 * 33 * time.Millisecond},
		"half of it is":              {func(p *hedgePace) { p.saved = hedgeSaved / 2 }, false, 11 * 33 * time.Millisecond / 2},
		"what is older is forgotten": {func(p *hedgePace) {
			for range hedgeRecent {
				p.answers.add(time.Second)
			}
		}, false, 4 * time.Second},
	} {
		p := paced(0)
		p.saved = hedgeSaved
		c.change(p)
		if got, known := p.slow(c.inBody); got != c.want || known != (c.want > 0) {
			t.Errorf("%s: slow from %v on (known: %t), want %v", name, got, known, c.want)
		}
	}
}

func withGaps(d time.Duration) func(*hedgePace) {
	return func(p *hedgePace) {
		for range hedgeRecent {
			p.gaps.add(d)
		}
	}
}

// Second requests are never more than the budget has of first ones, and quiet times save up few.
func TestHedgeBudget(t *testing.T) {
	p := paced(0.02)
	for sent, taken := 1, 0; sent <= 5000; sent++ {
		p.earn()
		if p.take() {
			taken++
		}
		if float64(taken) > 0.02*float64(sent)+1e-6 {
			t.Fatalf("%d second requests beside %d", taken, sent)
		}
		if sent == 5000 && taken < 99 {
			t.Errorf("only %d second requests of 100", taken)
		}
	}
	for range 100_000 {
		p.earn()
	}
	saved := 0
	for p.take() {
		saved++
	}
	if saved != hedgeSaved {
		t.Errorf("%d are saved up, want %d", saved, hedgeSaved)
	}
	if p.giveBack(); !p.take() || p.take() {
		t.Error("one that was never sent is not to be had again once")
	}
}

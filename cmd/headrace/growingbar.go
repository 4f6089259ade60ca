package main

import (
	"context"
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"
)

// growingBar is a progress bar for work that begins while it is still being found out how much there is: it shows a
// rate at once, and the time left once all is known. What was found so far would give a time that grows. Methods may be
// called at the same time.
type growingBar struct {
	mu    sync.Mutex // guards what follows, options of the bar included
	bar   *progressbar.ProgressBar
	done  int64
	found int64
	whole bool // all is found

	seen bool // somebody looks
}

func newGrowingBar(stderr io.Writer, options ...progressbar.Option) *growingBar {
	return &growingBar{bar: newBar(stderr, 1, append(options, progressbar.OptionSetPredictTime(false))...), seen: isTerminal(stderr)}
}

// find takes over how much there is at least. A bar that is full has ended, so it is not before all is known.
func (b *growingBar) find(total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole && total > b.found {
		b.found = total
		b.bar.ChangeMax64(total + 1)
	}
}

// all takes over how much there is. What was done already counts, if that is more.
func (b *growingBar) all(total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole = true
	progressbar.OptionSetPredictTime(true)(b.bar)
	b.bar.ChangeMax64(max(total, b.done))
}

func (b *growingBar) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	_ = b.bar.Add64(n) // it ends when it is full, which is not an error here
}

// describe says something before the bar.
func (b *growingBar) describe(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bar.Describe(what)
}

// countAhead finds how much there is by a listing of its own where somebody looks, since that of the work waits for the
// work: one more request for a thousand objects, and the time left is known early. list calls found for each thing that
// is to be done. The caller ends it with stop.
func (b *growingBar) countAhead(ctx context.Context, list func(ctx context.Context, found func(int64)) error) (stop func()) {
	if !b.seen {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var counting sync.WaitGroup
	counting.Go(func() {
		total := int64(0)
		err := list(ctx, func(n int64) {
			total += n
			b.find(total)
		})
		if err == nil { // else the work meets it as well
			b.all(total)
		}
	})
	return func() {
		cancel()
		counting.Wait()
	}
}

func (b *growingBar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.bar.Finish()
}

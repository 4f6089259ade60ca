package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/headrace/headrace/upload"
)

// flushReport is how often the log says how far storing what is left has come.
const flushReport = 10 * time.Second

// flush stores what is left of what was written, once the mount is gone, and says how far it is. It ends at a signal,
// and when for the time that close(2) waits nothing moves: what is left then is in the staging directory, and the next
// mount of the bucket goes on with it.
func (s *stack) flush(signals <-chan os.Signal, patience time.Duration, stderr io.Writer) error {
	if s.uploads == nil || s.uploads.Progress() == (upload.Progress{}) {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case sig := <-signals:
			s.log.Warn("not waiting for what is left to be stored", "signal", sig.String())
			cancel()
		case <-done:
		}
	}()
	f := newFlushing(s, patience, cancel, stderr)
	left := s.uploads.Flush(ctx, f.told)
	close(done)
	<-watched
	f.end()
	if left.Files == 0 && left.Renames == 0 && left.Conflicts == 0 {
		return nil
	}
	bytes := size(left.Bytes)
	return fail(exitUnstored, nil, "%d files (%s) are not stored, and %d that somebody else has replaced meanwhile: they are kept in %s: `headrace uploads ls --staging-dir %s` shows them, the next mount goes on",
		left.Files, bytes.String(), left.Conflicts, s.staging.Path(), filepath.Dir(s.staging.Path()))
}

// flushing follows the storing of what is left.
type flushing struct {
	stack    *stack
	patience time.Duration
	giveUp   func()
	bar      *progressbar.ProgressBar // nil where nobody looks

	total, last int64     // bytes
	moved       time.Time // when there were fewer
	reported    time.Time
}

func newFlushing(s *stack, patience time.Duration, giveUp func(), stderr io.Writer) *flushing {
	f := &flushing{stack: s, patience: patience, giveUp: giveUp, moved: time.Now()}
	if isTerminal(stderr) {
		f.bar = newFlushBar(stderr)
	}
	return f
}

func newFlushBar(stderr io.Writer) *progressbar.ProgressBar {
	return newBar(stderr, 1, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionSetDescription("storing what was written"))
}

// told takes note of how far it is.
func (f *flushing) told(p upload.Progress) {
	now := time.Now()
	if p.Bytes > f.total {
		f.total = p.Bytes
	}
	if p.Bytes != f.last {
		f.last, f.moved = p.Bytes, now
	}
	if f.bar != nil {
		f.bar.ChangeMax64(max(f.total, 1))
		_ = f.bar.Set64(f.total - p.Bytes)
	}
	if now.Sub(f.reported) >= flushReport {
		f.reported = now
		f.stack.log.Info("storing what was written", "files", p.Files, "bytes", p.Bytes)
	}
	if now.Sub(f.moved) >= f.patience {
		f.giveUp()
	}
}

func (f *flushing) end() {
	if f.bar != nil {
		_ = f.bar.Finish()
	}
}

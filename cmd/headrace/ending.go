package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

const (
	// attributeDeadline is for how long a mount may take to say where its staging directory is. One that hangs is unmounted without waiting for it.
	attributeDeadline = 2 * time.Second
	// endingPoll is how often it is asked how far storing is.
	endingPoll = 100 * time.Millisecond
)

// ending follows a mount that is being taken down until what was written to it is stored. nil follows nothing.
type ending struct {
	dir   *journal.Dir
	mount *controlled
	bar   *progressbar.ProgressBar // nil where nobody looks
	total int64
}

// watchEnding finds the mount that is to be followed, while it can be asked who it is; nil when there is none that can be written to.
func watchEnding(ctx context.Context, mountpoint string, stderr io.Writer) *ending {
	staging := askStaging(mountpoint)
	if staging.err != nil {
		return nil
	}
	dir, err := journal.Open(staging.path)
	if err != nil {
		return nil // of another user's mount, who sees how it ends
	}
	mount, err := dialControl(ctx, dir)
	if err != nil || mount == nil {
		return nil
	}
	e := &ending{dir: dir, mount: mount}
	if isTerminal(stderr) {
		e.bar = newFlushBar(stderr)
	}
	return e
}

// stagingAnswer is where a mount's staging directory is, or why it does not say: ENODATA where it has none.
type stagingAnswer struct {
	path string
	err  error
}

// askStaging asks a mount for that.
func askStaging(mountpoint string) stagingAnswer {
	answer := make(chan stagingAnswer, 1)
	go func() { // ends with this process, if the mount hangs
		buffer := make([]byte, unix.PathMax)
		n, err := unix.Getxattr(mountpoint, fs.StagingAttribute, buffer)
		answer <- stagingAnswer{string(buffer[:max(n, 0)]), err}
	}()
	select {
	case a := <-answer:
		return a
	case <-time.After(attributeDeadline):
		return stagingAnswer{err: fmt.Errorf("it has not answered within %v", attributeDeadline)}
	}
}

// wait returns when all is stored, or says what is not, and where it is.
func (e *ending) wait(ctx context.Context) error {
	if e == nil {
		return nil
	}
	defer e.mount.close()
	defer e.finish() // whatever is said next has a line of its own
	tick := time.NewTicker(endingPoll)
	defer tick.Stop()
	var left upload.Progress
	for {
		p, err := e.mount.progress(ctx)
		if err != nil && ctx.Err() == nil {
			return e.ended(left)
		}
		left = p
		e.show(p)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fail(exitUnstored, ctx.Err(), "unmounted; storing what was written goes on: `headrace uploads ls` shows it")
		}
	}
}

// ended says what the mount has left, which is gone now.
func (e *ending) ended(left upload.Progress) error {
	if left.Files == 0 && left.Renames == 0 {
		return nil
	}
	all, err := upload.StatusAt(e.dir)
	if err != nil || len(all) == 0 { // it was stored in the last moment
		return nil
	}
	return fail(exitUnstored, nil, "unmounted, but %d files are not stored: they are kept in %s; the next mount goes on, and `headrace uploads ls --staging-dir %s` shows them",
		len(all), e.dir.Path(), filepath.Dir(e.dir.Path()))
}

func (e *ending) finish() {
	if e.bar != nil {
		_ = e.bar.Finish()
	}
}

func (e *ending) show(p upload.Progress) {
	e.total = max(e.total, p.Bytes)
	if e.bar != nil && e.total > 0 {
		e.bar.ChangeMax64(e.total)
		_ = e.bar.Set64(e.total - p.Bytes)
	}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

const (
	// endingPoll is how often it is asked how far storing is.
	endingPoll = 100 * time.Millisecond
	// exitDeadline is for how long a mount's process may take to end once all is stored: it closes its cache then, of
	// which the index may have to be written.
	exitDeadline = 10 * time.Second
)

// ending follows a mount that is being taken down until what was written to it is stored. nil follows nothing.
type ending struct {
	dir   *journal.Dir
	mount *controlled
	pidfd int                      // the mount's process; less than zero where it is not known
	grace time.Duration            // for how long it may take to end once all is stored
	quiet time.Duration            // for how long it may take to say how far it is
	bar   *progressbar.ProgressBar // nil where nobody looks
	total int64
}

// watchEnding finds the mount whose staging directory that is, while it can be followed; nil when nobody answers there.
func watchEnding(ctx context.Context, staging string, stderr io.Writer) *ending {
	if staging == "" {
		return nil
	}
	dir, err := journal.Open(staging)
	if err != nil {
		return nil // of another user's mount, who sees how it ends
	}
	mount, err := dialControl(ctx, dir)
	if err != nil || mount == nil {
		return nil
	}
	e := &ending{dir: dir, mount: mount, pidfd: -1, grace: exitDeadline, quiet: statusDeadline}
	if mount.pid > 0 { // while it is sure to be that process
		if fd, err := unix.PidfdOpen(mount.pid, 0); err == nil {
			e.pidfd = fd
		}
	}
	if isTerminal(stderr) {
		e.bar = newFlushBar(stderr)
	}
	return e
}

// wait returns when all is stored and the mount's process has ended, so that the next one finds nothing in use, or says
// what is not stored, and where it is.
func (e *ending) wait(ctx context.Context) error {
	if e == nil {
		return nil
	}
	defer e.mount.close()
	defer unix.Close(e.pidfd)
	defer e.finish() // whatever is said next has a line of its own
	tick := time.NewTicker(endingPoll)
	defer tick.Stop()
	var left upload.Progress
	for {
		asked, cancel := context.WithTimeout(ctx, e.quiet)
		p, err := e.mount.progress(asked)
		late := asked.Err() != nil
		cancel()
		if err != nil && late && ctx.Err() == nil {
			return fail(exitUnstored, err, "unmounted, but the mount's process %d does not answer (is it stopped?): what it has not stored is kept in %s, and is stored when it goes on, or by the next mount once it has ended",
				e.mount.pid, e.dir.Path())
		}
		if err != nil && ctx.Err() == nil {
			ended := e.pidfd < 0 || awaitExit(ctx, e.pidfd, e.grace)
			return cmp.Or(e.ended(left), e.lasting(ended))
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

// lasting says that the mount's process has not ended: what it has open is not free, which a script may rely on that
// goes on with the disk.
func (e *ending) lasting(ended bool) error {
	if ended {
		return nil
	}
	return fail(exitBusy, nil, "unmounted, and everything is stored, but the mount's process %d has not ended: what it uses, as its cache directory, is not free yet. `tail --pid=%d -f /dev/null` waits for it; `kill -9 %d` ends it, and loses nothing that was written",
		e.mount.pid, e.mount.pid, e.mount.pid)
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

// awaitExit waits for the end of a process, and tells whether it came in time.
func awaitExit(ctx context.Context, pidfd int, deadline time.Duration) bool {
	if pidfd < 0 {
		return false
	}
	for end := time.Now().Add(deadline); ctx.Err() == nil && time.Now().Before(end); {
		wait := min(time.Until(end), endingPoll) // ctx is looked at in between
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(wait.Milliseconds())+1); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
	return false
}

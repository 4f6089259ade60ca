package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/upload/journal"
)

// Who unmounts is told of a mount's process that goes on when all is stored, by its pid, and of none that has ended or
// is not known.
func TestProcessGoesOn(t *testing.T) {
	for what, c := range map[string]struct{ runs, known bool }{"it goes on": {true, true}, "it has ended": {false, true}, "it is not known": {true, false}} {
		cmd := exec.Command("cat")
		hold, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		e := newEnding(t, cmd.Process.Pid)
		if c.known {
			if e.pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0); err != nil {
				t.Fatal(err)
			}
		}
		e.grace = time.Millisecond
		if !c.runs {
			e.grace = time.Minute
			if err := hold.Close(); err != nil {
				t.Fatal(err)
			}
		}
		err = e.wait(t.Context())
		var f *failure
		if told := errors.As(err, &f); told != (c.runs && c.known) || told && (f.code != exitBusy || !strings.Contains(f.text, fmt.Sprintf("kill -9 %d", cmd.Process.Pid))) {
			t.Errorf("%s: %v", what, err)
		}
		_ = hold.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// Who unmounts does not wait for ever for a mount that hangs: it is told where what is not stored is.
func TestEndingDoesNotAnswer(t *testing.T) {
	e := newEnding(t, 7)
	e.mount.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	e.quiet = time.Millisecond
	var f *failure
	if err := e.wait(t.Context()); !errors.As(err, &f) || f.code != exitUnstored || !strings.Contains(f.text, e.dir.Path()) || !strings.Contains(f.text, "does not answer") {
		t.Errorf("%v", err)
	}
}

// newEnding follows a mount that does not answer any more and has left nothing.
func newEnding(t *testing.T, pid int) *ending {
	dir, err := journal.Create(t.TempDir(), journal.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	directory, err := os.Open(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	silent := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, unix.ECONNREFUSED }}
	return &ending{dir: dir, mount: &controlled{pid: pid, client: &http.Client{Transport: silent}, directory: directory}, pidfd: -1, quiet: time.Minute}
}

// Who unmounts waits for the end of the mount's process, and not for ever.
func TestAwaitExit(t *testing.T) {
	cmd := exec.Command("cat")
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if awaitExit(t.Context(), pidfd, time.Millisecond) {
		t.Error("it has ended, it is said, while it runs")
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if !awaitExit(t.Context(), pidfd, time.Minute) {
		t.Error("its end is not seen")
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if awaitExit(t.Context(), -1, time.Minute) {
		t.Error("a process that is not known has ended")
	}
}

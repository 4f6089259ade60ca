package main

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

package fs

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// Who has written by way of a handle after the last cut that is stored has something to store when it closes; nobody
// else has.
func TestWriters(t *testing.T) {
	self, parent := uint32(os.Getpid()), uint32(os.Getppid())
	var w writers
	if w.wrote() || w.unstored(self, 0) || w.any(0) {
		t.Error("somebody has written before anybody has")
	}
	w.note(self, 1)
	if !w.wrote() || !w.unstored(self, 0) || !w.any(0) {
		t.Error("who wrote has not")
	}
	if w.unstored(parent, 0) {
		t.Error("who did not write has")
	}
	if w.unstored(self, 1) || w.any(1) {
		t.Error("what is stored is not")
	}
	w.note(self, 2) // after the publication that stored the first
	if !w.unstored(self, 1) {
		t.Error("what came after a publication is taken for stored")
	}
	w.note(self, 1) // an earlier one that took its time
	if !w.unstored(self, 1) {
		t.Error("a late note undoes a later one")
	}
}

// Who cannot be seen may be anybody.
func TestUnseenWriters(t *testing.T) {
	self := uint32(os.Getpid())
	var unseen writers
	unseen.note(0, 1)
	if !unseen.unstored(self, 0) {
		t.Error("who wrote unseen is none of those who close")
	}
	var seen writers
	seen.note(self, 1)
	if !seen.unstored(0, 0) {
		t.Error("who closes unseen is none of those who wrote")
	}
	if seen.unstored(0, 1) {
		t.Error("what is stored is not")
	}
}

// A thread belongs to its process.
func TestThreadGroup(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got := threadGroup(uint32(os.Getpid())); got != uint32(os.Getpid()) {
			t.Errorf("group %d of process %d", got, os.Getpid())
		}
	}()
	<-done
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		var thread uint32
		for _, c := range task.Name() {
			thread = thread*10 + uint32(c-'0')
		}
		if got := threadGroup(thread); got != uint32(os.Getpid()) && got != 0 { // it may have ended
			t.Errorf("thread %d belongs to %d", thread, got)
		}
	}
	if got := threadGroup(1 << 30); got != 0 {
		t.Errorf("a thread that is not there belongs to %d", got)
	}
}

// What the kernel says of a process is read to its end, however many groups it has.
func TestGroupsOfAProcess(t *testing.T) {
	groups := make([]uint32, 2000)
	for i := range groups {
		groups[i] = uint32(100_000 + i)
	}
	child := exec.Command("cat")
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: groups}}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil { // needs root
		t.Fatal(err)
	}
	got := statusIDs(uint32(child.Process.Pid), "Groups:")
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Error(err)
	}
	if !slices.Equal(got, groups) {
		t.Errorf("%d groups of %d", len(got), len(groups))
	}
}

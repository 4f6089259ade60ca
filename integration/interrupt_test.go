package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Any wait for the store ends within a second when the process that waits gets a signal that is to kill it: one for
// which it has no handler.
//
// The store stalls here: it takes the request and never answers.
func TestInterruptWhileTheStoreStalls(t *testing.T) {
	b := newBucket(t)
	b.put("small", 1, 100)
	b.put("large", 2, 8*chunk)
	p := newProxy(t, b.server.Endpoint())
	m := mountFaulty(t, b, p.endpoint(), "--metadata-ttl", "0s", "--memory", "32MiB")
	checkNames(t, m.names(), "small", "large")
	for _, wait := range waits(m) {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(fmt.Sprint(wait.name, " ", sig), func(t *testing.T) {
				var stalled []*fault
				for _, operation := range wait.operations {
					stalled = append(stalled, p.inject(&fault{operation: operation, act: hold()}))
				}
				defer p.heal()
				waiting := start(t, wait.command())
				eventually(t, patience, "the store to be asked", func() bool {
					for _, f := range stalled {
						if f.hits() > 0 {
							return true
						}
					}
					return waiting.ended()
				})
				checkDies(t, waiting, sig)
			})
		}
	}
}

// TestInterruptWhileTheStoreIsDead is the `cat` of a file whose server is gone, and Ctrl-C.
func TestInterruptWhileTheStoreIsDead(t *testing.T) {
	server := newServer(t)
	b := newBucketOn(t, server)
	b.put("small", 1, 100)
	b.put("large", 2, 8*chunk)
	m := mountFaulty(t, b, server.Endpoint(), "--metadata-ttl", "0s", "--memory", "32MiB")
	checkNames(t, m.names(), "small", "large")
	server.Kill()
	for _, wait := range waits(m) {
		t.Run(wait.name, func(t *testing.T) {
			waiting := start(t, wait.command())
			eventually(t, patience, "the program to wait", func() bool {
				return waiting.ended() || waitsInKernel(waiting.cmd.Process.Pid)
			})
			checkDies(t, waiting, syscall.SIGINT)
		})
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the mount to work again", func() bool {
		_, err := os.ReadFile(m.path("small"))
		return err == nil
	})
}

// wait is a program that waits for the store, and the operations it waits for.
type wait struct {
	name       string
	operations []string
	command    func() *exec.Cmd
}

// plainSignals makes a Python program die of SIGINT like one in C.
const plainSignals = `
import mmap, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)`

func waits(m *mount) []wait {
	run := func(name string, args ...string) func() *exec.Cmd {
		return func() *exec.Cmd {
			cmd := exec.Command(name, args...)
			cmd.Dir = "/"
			return cmd
		}
	}
	return []wait{
		{"open", []string{"GET", "HEAD", "LIST"}, run("cat", m.path("small"))},
		{"read", []string{"GET"}, run("cat", m.path("large"))},
		{"stat", []string{"HEAD", "LIST"}, run("stat", m.path("no", "such", "name"))},
		{"readdir", []string{"LIST"}, run("ls", m.dir)},
		{"mmap", []string{"GET"}, run("python3", "-c", plainSignals+`
mapped = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)
print(sum(mapped[::4096]))`, m.path("large"))},
		{"O_DIRECT", []string{"GET"}, run("python3", "-c", plainSignals+`
fd, buf = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 1 << 20)
while os.readv(fd, [buf]): pass`, m.path("large"))},
	}
}

// promptly is a second on a machine that has time for it: far more, and still far less than anything else takes that
// would end a wait for a store which does not answer.
const promptly = 10 * time.Second

// checkDies sends the signal to a program that waits and checks that it is gone within a second.
func checkDies(t *testing.T, waiting *program, sig syscall.Signal) {
	t.Helper()
	if waiting.ended() {
		t.Fatalf("%v did not wait: %v %s", waiting.cmd.Args, waiting.cmd.ProcessState, waiting.stderr.String())
	}
	begun := time.Now()
	waiting.cmd.Process.Signal(sig)
	waiting.await(patience)
	if took := time.Since(begun); took > promptly {
		t.Errorf("%v took %v to die", waiting.cmd.Args, took)
	}
	status := waiting.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		t.Errorf("%v ended by itself: %v %s", waiting.cmd.Args, waiting.cmd.ProcessState, waiting.stderr.String())
	}
}

// waitsInKernel tells whether a process waits in one and the same system call, or page fault, for a while.
func waitsInKernel(pid int) bool {
	const looks = 20
	before := ""
	same := 0
	return holdsWithin(time.Second, func() bool {
		now := kernelState(pid)
		if now == "" || now != before || strings.HasPrefix(now, "running") {
			same = 0
		}
		before = now
		same++
		return same > looks
	})
}

// kernelState says what system call the process is in, with its arguments.
func kernelState(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil {
		return ""
	}
	return string(text)
}

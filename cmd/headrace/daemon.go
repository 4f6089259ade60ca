package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// A mount goes to the background by running itself again: Go cannot fork. The child is a session leader with no
// terminal and has one end of a pipe; through it the child says that the mount answers, or why it does not. The parent
// waits for that one message, so a script that goes on after `headrace mount` finds its files.

// readyVariable tells the child the number of the pipe's descriptor.
const readyVariable = "HEADRACE_READY_FD"

// firstDescriptor is the first after stdin, stdout and stderr.
const firstDescriptor = 3

// readyMessage is what goes through the pipe, once, as JSON.
type readyMessage struct {
	Code  int    // exit code; exitOK when the mount answers
	Error string `json:",omitempty"`
}

// readiness is the child's end of the pipe. The zero value belongs to a process that nobody waits for.
type readiness struct {
	pipe *os.File
}

// inheritedReadiness finds the pipe the parent left. The variable is removed, so that no grandchild takes it for its
// own.
func inheritedReadiness() readiness {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	if err != nil {
		return readiness{}
	}
	os.Unsetenv(readyVariable)
	syscall.CloseOnExec(fd)
	return readiness{pipe: os.NewFile(uintptr(fd), "readiness")}
}

// awaited tells whether a parent waits, which also means that this process is the background one.
func (r readiness) awaited() bool { return r.pipe != nil }

// tell sends the outcome to the parent and closes the pipe; only the first call does anything. A parent that is gone is
// not an error: the mount lives on.
func (r *readiness) tell(outcome error) {
	if r.pipe == nil {
		return
	}
	message := readyMessage{Code: exitCode(outcome)}
	if outcome != nil {
		message.Error = outcome.Error()
	}
	json.NewEncoder(r.pipe).Encode(message)
	r.pipe.Close()
	r.pipe = nil
}

// runInBackground starts this program again with args, as in os.Args, and returns when the child's mount answers (nil),
// or the child's failure. When ctx ends first, the child is told to stop and has stopped when runInBackground returns.
// crashLog, which may be empty, is the file that gets what the child writes to stderr: nothing but a crash's stack.
func runInBackground(ctx context.Context, args []string, crashLog string) error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program's file: %w", err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer reader.Close()

	if err := keepDescriptors(); err != nil {
		return fmt.Errorf("cannot keep descriptors from the background process: %w", err)
	}
	child := exec.Command(executable)
	child.Args = args                                                                 // its own name included, which may be mount.headrace
	child.Env = append(os.Environ(), readyVariable+"="+strconv.Itoa(firstDescriptor)) // where ExtraFiles begin
	child.ExtraFiles = []*os.File{writer}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if crashLog != "" {
		f, err := os.OpenFile(crashLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			writer.Close()
			return fail(exitFailure, err, "cannot write the log: %v", err)
		}
		defer f.Close()
		child.Stderr = f
	}
	err = child.Start()
	writer.Close() // the child has its own; with ours open, its death would not end the reading below
	if err != nil {
		return fmt.Errorf("cannot start the background process: %w", err)
	}
	stopped := context.AfterFunc(ctx, func() { child.Process.Signal(syscall.SIGTERM) })
	defer stopped()
	return awaitReady(reader, child)
}

// keepDescriptors makes sure that what whoever called us left open (a lock, a pipe that somebody reads to its end) does
// not live as long as the mount. What is meant for the child is passed on all the same.
func keepDescriptors() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= firstDescriptor {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// awaitReady reads the child's message. A child that failed has ended when it returns.
func awaitReady(pipe io.Reader, child *exec.Cmd) error {
	var message readyMessage
	if err := json.NewDecoder(pipe).Decode(&message); err != nil {
		state := child.Wait()
		return fail(exitFailure, errors.Join(err, state), "the background process ended before the mount answered (%v): try --foreground to see why", child.ProcessState)
	}
	if message.Code == exitOK {
		return child.Process.Release()
	}
	child.Wait() // its exit status says what the message says
	return fail(message.Code, nil, "%s", message.Error)
}

package bench

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// endGrace is how long a process may take to end after SIGTERM: a mount waits 10 s for users, which by then there are
	// not.
	endGrace = 15 * time.Second
	// saidMost is how much of what a process prints is kept for an error.
	saidMost = 4 << 10
)

// process is one of headrace's own, which ends with this one.
type process struct {
	cmd   *exec.Cmd
	what  string // the command, for errors
	said  *lastWords
	ended context.Context // ends with the process
	err   error           // its exit; set before ended ends
}

// startProcess runs binary with args. What it prints is kept for errors; stdout, if not nil, gets its output instead.
// The caller stops it.
func startProcess(binary string, env []string, stdout io.Writer, args ...string) (*process, error) {
	p := &process{what: "headrace " + args[0], said: &lastWords{}}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	return p, p.start()
}

// start runs the process from a thread that stays for as long as the process does: Linux sends the parent's death
// signal when the thread that started it ends.
func (p *process) start() error {
	ended, end := context.WithCancel(context.Background())
	p.ended = ended
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer end()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("bench: start %s: %w", p.what, err)
	}
	return nil
}

// kill ends it at once.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end asks it to end, and waits until it has. It is an error if it did not end well by itself, or had ended before.
func (p *process) end() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended; then Wait has told how
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case <-p.ended.Done():
	case <-grace.C:
		p.kill()
		<-p.ended.Done()
	}
	if p.err != nil {
		return fmt.Errorf("bench: %s: %w: %s", p.what, p.err, p.said.text())
	}
	return nil
}

// lastWords keeps the end of what is written to it. It may be used from several goroutines.
type lastWords struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	w.buf = w.buf[max(len(w.buf)-saidMost, 0):]
	return len(p), nil
}

func (w *lastWords) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.buf))
}

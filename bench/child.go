package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
)

const (
	// liveDeadline is how long a mount may take to answer.
	liveDeadline = 30 * time.Second
	// livePoll is how often it is looked for: starting takes some tenths of a second.
	livePoll = 10 * time.Millisecond
	// endGrace is how long a mount may take to end after SIGTERM: it waits 10 s for users, which by then there are not.
	endGrace = 15 * time.Second
	// saidMost is how much of what the daemon prints is kept for an error.
	saidMost = 4 << 10
)

// child is a mount served by a headrace process of its own.
type child struct {
	cmd    *exec.Cmd
	binary string
	dir    string // where it is mounted
	socket string // of its metrics
	said   *lastWords
	ended  context.Context // ends with the process
	err    error           // its exit; set before ended ends
}

// startMount mounts at dir, which it makes, and returns when the mount answers. args are those of `headrace mount`, less
// the directory. The caller stops it, also when ctx has ended; ctx ends the waiting, and kills the daemon so that
// nobody waits for it any more.
func startMount(ctx context.Context, binary, dir string, env, args []string) (*child, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	c := &child{binary: binary, dir: dir, socket: dir + ".sock", said: &lastWords{}}
	args = append([]string{"mount", "--foreground", "--log-level", "warn", "--metrics", "unix:" + c.socket}, args...)
	c.cmd = exec.Command(binary, append(args, dir)...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = c.said, c.said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := c.start(); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := c.awaitLive(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// start runs the process from a thread that stays for as long as the process does: Linux sends the parent's death signal
// when the thread that started it ends.
func (c *child) start() error {
	ended, end := context.WithCancel(context.Background())
	c.ended = ended
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer end()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("bench: start %s: %w", c.binary, err)
	}
	return nil
}

func (c *child) awaitLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, liveDeadline)
	defer cancel()
	poll := time.NewTicker(livePoll)
	defer poll.Stop()
	for {
		if mounted, err := mountinfo.Mounted(c.dir); err == nil && mounted {
			_, err := os.ReadDir(c.dir)
			return err
		}
		select {
		case <-poll.C:
		case <-c.ended.Done():
			return fmt.Errorf("bench: headrace mount: %w: %s", c.err, c.said.text())
		case <-ctx.Done():
			return fmt.Errorf("bench: headrace mount does not answer: %w: %s", ctx.Err(), c.said.text())
		}
	}
}

// abort kills the daemon: every read of the mount that waits fails.
func (c *child) abort() { _ = c.cmd.Process.Kill() }

// stop unmounts, waits for the daemon, and leaves nothing behind. It is an error if the daemon did not end well by
// itself, or was dead.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended; then Wait has told how
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case <-c.ended.Done():
	case <-grace.C:
		c.abort()
		<-c.ended.Done()
	}
	var err error
	if c.err != nil {
		err = fmt.Errorf("bench: headrace mount: %w: %s", c.err, c.said.text())
	}
	if mounted, _ := mountinfo.Mounted(c.dir); mounted {
		out, detach := exec.Command(c.binary, "umount", "--lazy", c.dir).CombinedOutput()
		if detach != nil {
			err = errors.Join(err, fmt.Errorf("bench: headrace umount: %w: %s", detach, bytes.TrimSpace(out)))
		}
	}
	if rm := os.Remove(c.socket); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return errors.Join(err, os.Remove(c.dir))
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

// mountpoint is a fresh directory's path for the n-th mount.
func mountpoint(base string, n int) string { return filepath.Join(base, fmt.Sprintf("m%d", n)) }

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/moby/sys/mountinfo"
)

const (
	// liveDeadline is how long a mount may take to answer.
	liveDeadline = 30 * time.Second
	// livePoll is how often it is looked for: starting takes some tenths of a second.
	livePoll = 10 * time.Millisecond
)

// child is a mount served by a headrace process of its own.
type child struct {
	*process
	binary string
	dir    string // where it is mounted
	socket string // of its metrics
}

// startMount mounts at dir, which it makes, and returns when the mount answers. args are those of `headrace mount`,
// less the directory. The caller stops it, also when ctx has ended; ctx ends the waiting, and kills the daemon so that
// nobody waits for it any more.
func startMount(ctx context.Context, binary, dir string, env, args []string) (*child, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	c := &child{binary: binary, dir: dir, socket: dir + ".sock"}
	args = append([]string{"mount", "--foreground", "--log-level", "warn", "--metrics", "unix:" + c.socket}, args...)
	var err error
	if c.process, err = startProcess(binary, append(os.Environ(), env...), nil, append(args, dir)...); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if err := c.awaitLive(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *child) awaitLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, liveDeadline)
	defer cancel()
	defer context.AfterFunc(ctx, c.kill)() // looking into the directory waits for the daemon
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

// stop unmounts, waits for the daemon, and leaves nothing behind. It is an error if the daemon did not end well by
// itself, or was dead.
func (c *child) stop() error {
	err := c.end()
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

// mountpoint is a fresh directory's path for the n-th mount.
func mountpoint(base string, n int) string { return filepath.Join(base, fmt.Sprintf("m%d", n)) }

package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// attributeDeadline is how long a mount may take to say something about itself, which it knows without asking anybody.
const attributeDeadline = 5 * time.Second

// largestAttribute is XATTR_SIZE_MAX of xattr(7), bytes.
const largestAttribute = 64 << 10

// errSilent is a mount that hangs.
var errSilent = errors.New("it does not answer")

// mountAnswer is what a mount has said.
type mountAnswer struct {
	value string
	err   error
}

// askMounts asks all of them at once; the answers are in their order.
func askMounts(mountpoints []string, attribute string) []mountAnswer {
	answers := make([]mountAnswer, len(mountpoints))
	var asked sync.WaitGroup
	for i, mountpoint := range mountpoints {
		asked.Go(func() { answers[i].value, answers[i].err = askMount(mountpoint, attribute) })
	}
	asked.Wait()
	return answers
}

// askMount asks a mount for an attribute of its own; ENODATA where it has none of that name, and errSilent where it
// hangs.
func askMount(mountpoint, attribute string) (string, error) {
	answered := make(chan mountAnswer, 1)
	go func() { // ends with this process, if the mount hangs
		buffer := make([]byte, largestAttribute)
		n, err := unix.Getxattr(mountpoint, attribute, buffer)
		answered <- mountAnswer{string(buffer[:max(n, 0)]), err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-time.After(attributeDeadline):
		return "", fmt.Errorf("%w within %v", errSilent, attributeDeadline)
	}
}

// mountpoints are where headrace has something mounted, by anybody.
func mountpoints() (all []string, err error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.FSType != fuseType, false })
	if err != nil {
		return nil, fail(exitFailure, err, "cannot read the list of mounts: %v", err)
	}
	for _, m := range mounts {
		all = append(all, m.Mountpoint)
	}
	return all, nil
}

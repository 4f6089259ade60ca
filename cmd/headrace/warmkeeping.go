package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	headracefs "github.com/headrace/headrace/fs"
)

const (
	// warmStep is after how many bytes of a file it is looked whether the disk keeps up: a chunk.
	warmStep = 16 << 20
	// lookAgain is how often it is looked while it does not.
	lookAgain = 50 * time.Millisecond
	// stuck is after how long without any progress the disk is not waited for any more. What others read keeps it busy for
	// as long as they like, and is none.
	stuck = 30 * time.Second
	// settled is how long nothing must wait for the disk before what it has not counts as not kept: longer than the end of
	// a fetch is behind its last reader.
	settled = 2 * time.Second
)

// keepWhole has a file be kept, what is in memory now and the rest when it is read next, whatever the mount's
// --cache-policy, and tells how that goes. ok is false where there is no disk cache.
func keepWhole(path string) (k headracefs.Keeping, ok bool) {
	value := make([]byte, 128)
	n, err := unix.Getxattr(path, headracefs.KeepAttribute, value)
	if err != nil {
		return k, false
	}
	return headracefs.ParseKeeping(string(value[:n]))
}

// keptOf is keepWhole of one file.
func keptOf(path string) func() (headracefs.Keeping, bool) {
	return func() (headracefs.Keeping, bool) { return keepWhole(path) }
}

// waitFor looks how it goes with a file until done says so, it has got no further for a while, or ctx ends: further is
// that more of the file is on the disk, or that less waits for it than ever since. ok is false where there is no disk
// cache.
func waitFor(ctx context.Context, look func() (headracefs.Keeping, bool), done func(k headracefs.Keeping, quiet time.Duration) bool) (k headracefs.Keeping, ok bool) {
	var last headracefs.Keeping
	var most int64
	least := int64(math.MaxInt64)
	moved := time.Now()
	further := moved
	for {
		if k, ok = look(); !ok {
			return k, false
		}
		now := time.Now()
		if k != last {
			last, moved = k, now
		}
		if waits := k.Refused + k.Queued; k.OnDisk > most || waits < least {
			most, least, further = max(most, k.OnDisk), min(least, waits), now
		}
		if done(k, now.Sub(moved)) || now.Sub(further) >= stuck {
			return k, true
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return k, true
		}
	}
}

// giveTime waits while the disk has more to write than it takes: it would leave out what is read meanwhile.
func giveTime(ctx context.Context, path string) {
	waitFor(ctx, keptOf(path), func(k headracefs.Keeping, _ time.Duration) bool { return k.Refused == 0 })
}

// settle waits until what was read of files is on the disk, and tells which are not there as a whole then: how much is
// missing of them now.
func settle(ctx context.Context, files []*cold) (left []*cold) {
	var idle time.Duration // nothing has waited for the disk for so long
	gaveUp := false        // one file got no further: the others have had as long
	for _, f := range files {
		if f.failed {
			continue
		}
		k, ok := waitFor(ctx, keptOf(f.path), func(k headracefs.Keeping, quiet time.Duration) bool {
			if idle = max(idle, quiet); k.Refused > 0 || k.Queued > 0 {
				idle = 0
			}
			return k.OnDisk >= f.size || idle >= settled || gaveUp
		})
		if ctx.Err() != nil {
			return nil
		}
		if ok && k.OnDisk < f.size {
			gaveUp = idle < settled
			left = append(left, &cold{path: f.path, size: f.size, missing: f.size - k.OnDisk})
		}
	}
	return left
}

// notKept is that some of a file is not on the disk although it was read.
func (f *cold) notKept() error {
	return fmt.Errorf("%s: %s of %s are not kept: the cache is too small, or full of what is pinned or open, or its disk was behind or fails (see `headrace cache status`)",
		f.path, sizeText(f.missing), sizeText(f.size))
}

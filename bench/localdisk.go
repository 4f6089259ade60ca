package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// leastRoom is the least --cache-size.
	leastRoom = 64 * mib
	// fillPasses is how often objects are read to have them all in the disk cache: what a slow disk has skipped is read
	// again.
	fillPasses = 5
	// fillReaders read at the same time.
	fillReaders = 8
	// keepDeadline is how long a disk may do nothing before what it does not have is read again.
	keepDeadline = 3 * time.Second
	// passDeadline is how long a mount may take until the kernel reads by itself: as long as the disk takes to read.
	passDeadline = 2 * time.Minute
	// diskPoll is how often a mount is asked what is on its disk.
	diskPoll = 50 * time.Millisecond
	// spareRoom is what stays free on the disk: the cache leaves 5% of it in any case.
	spareRoom = gib
)

// localDisk is a directory with a disk cache that holds all objects, and the same bytes as plain files.
type localDisk struct {
	dir    string
	filled bool
}

func (d localDisk) cache() string { return filepath.Join(d.dir, "cache") }
func (d localDisk) plain() string { return filepath.Join(d.dir, "plain") }

// roomFor is the size of a disk cache that half a dataset of a size fits in.
func roomFor(dataset int64) int64 { return max(dataset/2/dataSize*dataSize, leastRoom) }

// impossible tells why w cannot be measured here; "" when it can.
func (t *target) impossible(w workload) string {
	switch {
	case w.stage == stageStore:
		return ""
	case (w.stage == stageWrite || w.stage == stageStaging) && t.maker == nil:
		return "nothing is written where objects are given"
	case w.stage == stageWrite, w.stage == stageStaging:
		return ""
	}
	if err := mayDropPageCache(); err != nil {
		return fmt.Sprintf("the page cache has to be dropped, which needs root: %v", err)
	}
	if w.stage == stageTwice && total(t.objects.dataset)/2 < leastRoom {
		return fmt.Sprintf("the objects have less than %d MiB, twice the least that a disk cache may have", 2*leastRoom/mib)
	}
	if reason := t.spaceShort(w); reason != "" || w.stage != stageDaemon {
		return reason
	}
	return memoryShort(2 * memoryFor(w.spans(t.objects))) // the daemon's, and the page cache's
}

// spaceShort tells what is wrong with the disk.
func (t *target) spaceShort(w workload) string {
	dir := filepath.Dir(t.disk.dir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err.Error()
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return fmt.Sprintf("%s is in memory: choose a directory on a disk by --dir", dir)
	}
	need := t.objects.large.version.Size
	switch {
	case w.stage == stageTwice:
		need = total(t.objects.dataset) / 2
	case w.stage != stageFirst && t.disk.filled:
		need = 0
	case w.stage != stageFirst:
		need = 2 * total(t.objects.cacheable())
	}
	if left := int64(fs.Blocks) * fs.Bsize / 20; int64(fs.Bavail)*fs.Bsize < need+left+spareRoom {
		return fmt.Sprintf("%d MiB have to be free in %s: choose another directory by --dir, or a smaller --size", (need+left+spareRoom)/mib, dir)
	}
	return ""
}

// memoryShort tells that there is less memory than n bytes.
func memoryShort(n int64) string {
	err := dropPageCache() // which counts as used
	free := int64(0)
	if err == nil {
		free, err = freeMemory()
	}
	switch {
	case err != nil:
		return err.Error()
	case free < n:
		return fmt.Sprintf("%d MiB of memory have to be free, and %d are: choose a smaller --size", n/mib, free/mib)
	}
	return ""
}

// fill makes the disk cache and the plain files, once a run, by way of a mount at dir.
func (t *target) fill(ctx context.Context, opts Options, dir string) (err error) {
	if t.disk.filled {
		return nil
	}
	fmt.Fprintln(opts.Progress, "filling the disk cache")
	args := append(append(t.mountArgs(opts), opts.MountArgs...), "--read-only", "--cache-dir="+t.disk.cache())
	if err := os.MkdirAll(t.disk.plain(), 0o700); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	c, err := startMount(ctx, opts.Binary, dir, t.env, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	defer context.AfterFunc(ctx, c.kill)()
	all := t.objects.cacheable()
	for range fillPasses {
		if err := copyFiles(ctx, fileSide{dir: c.dir}, t.disk.plain(), all); err != nil {
			return err
		}
		if t.disk.filled, err = c.awaitKept(ctx, total(all)); err != nil || t.disk.filled {
			return err
		}
		if err := dropPageCache(); err != nil { // or the daemon would not hear of the next pass
			return err
		}
	}
	return fmt.Errorf("%w: the disk cache does not take all that is read", ErrStalled)
}

// copyFiles copies objects into dir.
func copyFiles(ctx context.Context, from side, dir string, all []object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fillReaders)
	for _, o := range all {
		g.Go(func() error { return copyFile(ctx, from, filepath.Join(dir, o.path), o) })
	}
	return g.Wait()
}

func copyFile(ctx context.Context, from side, path string, o object) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	r, err := from.open(o)
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf := make([]byte, min(readSize, o.version.Size))
	for off := int64(0); off < o.version.Size; off += readSize {
		part := buf[:min(readSize, o.version.Size-off)]
		if err := r.ReadAt(ctx, part, off); err != nil {
			return err
		}
		if _, err := out.Write(part); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

// awaitKept waits until so many bytes are in the disk cache. false when it has skipped some.
func (c *child) awaitKept(ctx context.Context, bytes int64) (bool, error) {
	poll := time.NewTicker(diskPoll)
	defer poll.Stop()
	for idle := time.Now(); time.Since(idle) < keepDeadline; {
		m, err := c.scrape(ctx)
		if err != nil {
			return false, err
		}
		if m["headrace_disk_queued_bytes"] > 0 {
			idle = time.Now()
		} else if m["headrace_disk_used_bytes"] >= float64(bytes) {
			return true, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}

// awaitPassthrough opens files until the kernel reads all of them by itself, which it does once the daemon has compared
// them with their checksums. Where it never will, since the kernel is too old or this user may not, it returns when
// nothing is compared any more.
func (c *child) awaitPassthrough(ctx context.Context, paths []string) error {
	ctx, cancel := context.WithTimeout(ctx, passDeadline)
	defer cancel()
	defer context.AfterFunc(ctx, c.kill)() // open waits for the daemon
	poll := time.NewTicker(diskPoll)
	defer poll.Stop()
	passed, compared := 0.0, 0.0
	for idle := time.Now(); time.Since(idle) < keepDeadline; {
		for _, path := range paths {
			r, err := fileSide{dir: c.dir}.open(object{path: path})
			if err != nil {
				return err
			}
			r.Close()
		}
		m, err := c.scrape(ctx)
		if err != nil {
			return err
		}
		before := passed
		if passed = m["headrace_fs_passthrough_opens_total"]; passed-before == float64(len(paths)) {
			return nil
		}
		if now := m["headrace_disk_read_bytes_total"]; now != compared {
			idle, compared = time.Now(), now
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	headracefs "github.com/headrace/headrace/fs"
)

// cold is a file that is to be read.
type cold struct {
	path    string
	size    int64 // bytes
	missing int64 // bytes of it that are not in the cache
}

// fillCache reads files of mounts, so that their daemons keep them.
func (o warmOptions) fillCache(ctx context.Context, result *warmResult, failures *failures) error {
	todo, err := o.plan(ctx, result, failures)
	if err != nil {
		return err
	}
	var total int64
	for _, f := range todo {
		total += f.missing
	}
	if o.dryRun {
		for _, f := range todo {
			o.say("%q %s of %s", f.path, sizeText(f.missing), sizeText(f.size))
		}
		o.say("would read %d files, %s; %d are in the cache", len(todo), sizeText(total), result.Present)
		result.Files, result.Bytes = len(todo), total
		return nil
	}
	bar := o.newBar(total)
	var done sync.Mutex // guards result
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for _, f := range todo {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := warmFile(ctx, f, bar); err != nil {
				if ctx.Err() == nil {
					failures.add(err)
				}
				return nil // the others go on
			}
			done.Lock()
			defer done.Unlock()
			result.Files++
			result.Bytes += f.missing
			bar.Describe(fmt.Sprintf("%d/%d files", result.Files, len(todo)))
			return nil
		})
	}
	_ = g.Wait() // what failed is in failures
	_ = bar.Finish()
	o.say("read %d files, %s; %d were in the cache", result.Files, sizeText(result.Bytes), result.Present)
	return nil
}

// plan finds the files that are not wholly in the cache.
func (o warmOptions) plan(ctx context.Context, result *warmResult, failures *failures) (todo []cold, err error) {
	add := func(path string) {
		if !o.dryRun {
			keepWhole(path)
		}
		f, err := lookAt(path)
		switch {
		case err != nil:
			failures.add(err)
		case f.missing == 0:
			result.Present++
		default:
			todo = append(todo, f)
		}
	}
	err = o.eachArgument(ctx, func(arg string) error {
		if strings.HasPrefix(arg, sourceScheme) {
			return usage("%s: a mount's cache is filled by reading its files: name one, or use --lota", arg)
		}
		walk(ctx, arg, failures, add)
		return nil // also when it was told to end: the names of standard input are at their end then
	})
	return todo, err
}

func walk(ctx context.Context, path string, failures *failures, add func(string)) {
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error { // errors are failures of what they are about
		switch {
		case ctx.Err() != nil:
			return filepath.SkipAll
		case err != nil:
			failures.add(err)
		case e.Type().IsRegular():
			add(path)
		}
		return nil
	})
}

// keepWhole has a file be kept when it is read next, whatever the mount's --cache-policy. That there is no such attribute is for lookAt to tell.
func keepWhole(path string) {
	_, _ = unix.Getxattr(path, headracefs.KeepAttribute, make([]byte, 8))
}

// lookAt asks how much of a file is in the cache.
func lookAt(path string) (cold, error) {
	info, err := os.Stat(path)
	if err != nil {
		return cold{}, err
	}
	value := make([]byte, 32)
	n, err := unix.Getxattr(path, "user.headrace.cached", value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return cold{}, fmt.Errorf("%s is not on a mount of headrace", path)
	}
	if err != nil {
		return cold{}, fmt.Errorf("%s: %w", path, err)
	}
	present, err := strconv.ParseInt(string(value[:n]), 10, 64)
	if err != nil {
		return cold{}, fmt.Errorf("%s: %w", path, err)
	}
	return cold{path: path, size: info.Size(), missing: max(0, info.Size()-present)}, nil
}

// warmFile reads a file, so that the daemon keeps it. The kernel need not keep it as well.
func warmFile(ctx context.Context, f cold, bar io.Writer) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	buffer := make([]byte, 1<<20)
	skip := f.size - f.missing // the bar counts what was missing
	for ctx.Err() == nil {
		n, err := file.Read(buffer)
		over := min(int64(n), skip)
		skip -= over
		_, _ = bar.Write(buffer[over:n]) // counts, and never fails
		if err == io.EOF {
			_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

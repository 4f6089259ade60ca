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
)

// cold is a file that is to be read.
type cold struct {
	path    string
	size    int64 // bytes
	missing int64 // bytes of it that are not in the cache
	failed  bool  // it could not be read
}

// missing is how many bytes of files are not in the cache.
func missing(files []*cold) (bytes int64) {
	for _, f := range files {
		bytes += f.missing
	}
	return bytes
}

// fillCache reads files of mounts, so that their daemons keep them.
func (o warmOptions) fillCache(ctx context.Context, result *warmResult, failures *failures) error {
	todo, all, err := o.plan(ctx, result, failures)
	if err != nil {
		return err
	}
	total := missing(todo)
	if o.dryRun {
		for _, f := range todo {
			o.say("%q %s of %s", f.path, sizeText(f.missing), sizeText(f.size))
		}
		o.say("would read %d files, %s; %d are in the cache", len(todo), sizeText(total), result.Present)
		result.Files, result.Bytes = len(todo), total
		return nil
	}
	for _, f := range o.read(ctx, todo, failures) {
		result.Files++
		result.Bytes += f.missing
	}
	left := settle(ctx, all)
	for before := total; len(left) > 0 && 2*missing(left) <= before; { // what the disk had no time for; a cache that is too small has less use of it
		before = missing(left)
		o.read(ctx, left, failures)
		left = settle(ctx, left)
	}
	for _, f := range left {
		failures.add(f.notKept())
	}
	o.say("read %d files, %s; %d were in the cache", result.Files, sizeText(result.Bytes), result.Present)
	return nil
}

// read reads files, and tells which could be.
func (o warmOptions) read(ctx context.Context, todo []*cold, failures *failures) (done []*cold) {
	bar := o.newBar(missing(todo))
	var mu sync.Mutex // guards done
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for _, f := range todo {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := warmFile(ctx, f, bar); err != nil {
				f.failed = true
				if ctx.Err() == nil {
					failures.add(err)
				}
				return nil // the others go on
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, f)
			bar.Describe(fmt.Sprintf("%d/%d files", len(done), len(todo)))
			return nil
		})
	}
	_ = g.Wait() // what failed is in failures
	_ = bar.Finish()
	return done
}

// plan finds the files, and those of them that are not wholly in the cache.
func (o warmOptions) plan(ctx context.Context, result *warmResult, failures *failures) (todo, all []*cold, err error) {
	add := func(path string) {
		if !o.dryRun {
			keepWhole(path)
		}
		f, err := lookAt(path)
		if err != nil {
			failures.add(err)
			return
		}
		all = append(all, f)
		if f.missing == 0 {
			result.Present++
		} else {
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
	return todo, all, err
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

// lookAt asks how much of a file is in the cache.
func lookAt(path string) (*cold, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	value := make([]byte, 32)
	n, err := unix.Getxattr(path, "user.headrace.cached", value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, fmt.Errorf("%s is not on a mount of headrace", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	present, err := strconv.ParseInt(string(value[:n]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &cold{path: path, size: info.Size(), missing: max(0, info.Size()-present)}, nil
}

// warmFile reads a file, so that the daemon keeps it. The kernel need not keep it as well.
func warmFile(ctx context.Context, f *cold, bar io.Writer) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	buffer := make([]byte, 1<<20)
	skip := f.size - f.missing // the bar counts what was missing
	for read, rest := int64(0), int64(warmStep); ctx.Err() == nil; {
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
		if read += int64(n); read >= rest {
			giveTime(ctx, f.path)
			rest = read + warmStep
		}
	}
	return ctx.Err()
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// warmJobs is how many files are read at the same time: each is read ahead by itself, so a few keep a network busy.
	warmJobs = 8
	// warmFailuresTold is how many failures are told one by one.
	warmFailuresTold = 10
)

// warmOptions are what the command is told.
type warmOptions struct {
	jobs   int
	dryRun bool
	paths  []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func warmCommand() *cli.Command {
	o := warmOptions{stdin: os.Stdin}
	return &cli.Command{
		Name:      "warm",
		Usage:     "read files of a mount ahead, into its cache",
		ArgsUsage: "PATH...",
		Description: "Reads the files named by PATH, which are below a mount with a --cache-dir: files, directories with all that is below them, and " +
			"patterns with * ? [ ] that the shell has left alone. With - for a PATH, names are read from standard input, a line each.\n\n" +
			"  headrace warm /data/imagenet\n" +
			"  find /data -name '*.safetensors' | headrace warm -\n\n" +
			"What is in the cache already is not read again, so a run that was interrupted goes on where it was. Ctrl-C ends it cleanly.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "jobs", EnvVars: environment("jobs"), Destination: &o.jobs, Value: warmJobs, Usage: "read `N` files at the same time"},
			&cli.BoolFlag{Name: "dry-run", EnvVars: environment("dry-run"), Destination: &o.dryRun, Usage: "only say what would be read"},
		},
		Action: func(c *cli.Context) error {
			o.paths, o.stdout, o.stderr = c.Args().Slice(), c.App.Writer, c.App.ErrWriter
			if len(o.paths) == 0 {
				return usage("warm takes files or directories of a mount: headrace warm /data/...")
			}
			if o.jobs < 1 {
				return usage("--jobs %d: at least 1 is needed", o.jobs)
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return o.run(ctx)
		},
	}
}

// cold is a file that is to be read.
type cold struct {
	path    string
	size    int64 // bytes
	missing int64 // bytes of it that are not in the cache
}

// warming is what has been found and done.
type warming struct {
	mu       sync.Mutex // guards everything below
	files    int
	bytes    int64 // that were missing
	present  int   // files that were in the cache already
	failures []error
}

func (w *warming) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, err)
}

func (o warmOptions) run(ctx context.Context) error {
	var w warming
	todo, err := o.plan(ctx, &w)
	if err != nil {
		return err
	}
	var total int64
	for _, f := range todo {
		total += f.missing
	}
	if o.dryRun {
		for _, f := range todo {
			fmt.Fprintf(o.stdout, "%q %s of %s\n", f.path, sizeText(f.missing), sizeText(f.size))
		}
		fmt.Fprintf(o.stdout, "would read %d files, %s; %d are in the cache\n", len(todo), sizeText(total), w.present)
		return o.outcome(ctx, &w)
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(o.stderr), progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(o.stderr)), progressbar.OptionSetDescription(fmt.Sprintf("0/%d files", len(todo))))
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for _, f := range todo {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := warmFile(ctx, f, bar); err != nil {
				if ctx.Err() == nil {
					w.failed(err)
				}
				return nil // the others go on
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.files++
			w.bytes += f.missing
			bar.Describe(fmt.Sprintf("%d/%d files", w.files, len(todo)))
			return nil
		})
	}
	_ = g.Wait() // failures are in w
	_ = bar.Finish()
	fmt.Fprintf(o.stdout, "read %d files, %s; %d were in the cache\n", w.files, sizeText(w.bytes), w.present)
	return o.outcome(ctx, &w)
}

// outcome tells of what failed.
func (o warmOptions) outcome(ctx context.Context, w *warming) error {
	if ctx.Err() != nil {
		return fail(exitPartial, ctx.Err(), "interrupted: run it again to go on")
	}
	if len(w.failures) == 0 {
		return nil
	}
	told := w.failures[:min(len(w.failures), warmFailuresTold)]
	return fail(exitPartial, errors.Join(told...), "%d could not be read, the first ones: %v", len(w.failures), errors.Join(told...))
}

// plan finds the files that are not wholly in the cache.
func (o warmOptions) plan(ctx context.Context, w *warming) (todo []cold, err error) {
	add := func(path string) {
		f, err := lookAt(path)
		switch {
		case err != nil:
			w.failed(err)
		case f.missing == 0:
			w.present++
		default:
			todo = append(todo, f)
		}
	}
	for _, path := range o.paths {
		if path != "-" {
			o.expand(ctx, path, w, add)
			continue
		}
		lines := bufio.NewScanner(o.stdin)
		for lines.Scan() && ctx.Err() == nil {
			if lines.Text() != "" {
				o.walk(ctx, lines.Text(), w, add)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fail(exitFailure, err, "cannot read the list of files: %v", err)
		}
	}
	return todo, nil
}

// expand takes a name as it is if there is such a thing, and else as a pattern.
func (o warmOptions) expand(ctx context.Context, path string, w *warming, add func(string)) {
	matches := []string{path}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if found, err := filepath.Glob(path); err == nil && len(found) > 0 {
			matches = found
		}
	}
	for _, m := range matches {
		o.walk(ctx, m, w, add)
	}
}

func (o warmOptions) walk(ctx context.Context, path string, w *warming, add func(string)) {
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error { // errors are failures of what they are about
		switch {
		case ctx.Err() != nil:
			return filepath.SkipAll
		case err != nil:
			w.failed(err)
		case e.Type().IsRegular():
			add(path)
		}
		return nil
	})
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

// isTerminal tells whether somebody looks at w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// warmJobs is how many files are read at the same time: each is read ahead by itself, so a few keep a network busy.
const warmJobs = 8

// warmOptions are what the command is told.
type warmOptions struct {
	jobs   int
	dryRun bool
	json   bool
	list   string    // a file of arguments
	listed io.Reader // what it says, where that can be read once only and is needed twice; else nil
	lota   bool
	both   bool
	verify bool
	settle interval
	again  bool
	store  storeOptions

	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// lotaGroup is the section of the flags that are about LOTA.
const lotaGroup = "LOTA"

func warmCommand() *cli.Command {
	o := warmOptions{stdin: os.Stdin, settle: interval(5 * time.Second)}
	flags := []cli.Flag{
		&cli.IntFlag{Name: "jobs", EnvVars: environment("jobs"), Destination: &o.jobs, Value: warmJobs, Usage: "read `N` files at the same time"},
		&cli.StringFlag{Name: "list", EnvVars: environment("list"), Destination: &o.list, Usage: "also what the lines of `FILE` name; - is standard input"},
		&cli.BoolFlag{Name: "dry-run", EnvVars: environment("dry-run"), Destination: &o.dryRun, Usage: "only say what would be done"},
		&cli.BoolFlag{Name: "json", EnvVars: environment("json"), Destination: &o.json, Usage: "print the result as one JSON document"},
		&cli.BoolFlag{
			Name: "lota", Category: lotaGroup, EnvVars: environment("lota"), Destination: &o.lota,
			Usage: "have CoreWeave's LOTA fetch the objects, by a request each that brings no bytes here, and leave the mount's own cache as it is",
		},
		&cli.BoolFlag{Name: "both", Category: lotaGroup, EnvVars: environment("both"), Destination: &o.both, Usage: "first --lota, then the mount's own cache"},
		&cli.BoolFlag{
			Name: "verify", Category: lotaGroup, EnvVars: environment("verify"), Destination: &o.verify,
			Usage: "read the first bytes of some objects before and of others afterwards, and estimate from their times how many LOTA holds",
		},
		&cli.GenericFlag{
			Name: "settle", Category: lotaGroup, EnvVars: environment("settle"), Value: &o.settle,
			Usage: "verify so `DURATION` after the last request: nothing tells when LOTA is done",
		},
		&cli.BoolFlag{Name: "again", Category: lotaGroup, EnvVars: environment("again"), Destination: &o.again, Usage: "also what an interrupted run has done already"},
	}
	return &cli.Command{
		Name:      "warm",
		Usage:     "read files of a mount ahead, into its cache, or have CoreWeave's LOTA fetch objects",
		ArgsUsage: "PATH...|s3://BUCKET/PREFIX",
		Description: "Reads the files named by PATH, which are below a mount with a --cache-dir: files, directories with all that is below them, and " +
			"patterns with * ? [ ] that the shell has left alone. With - for a PATH, names are read from standard input, a line each.\n\n" +
			"  headrace warm /data/imagenet\n" +
			"  find /data -name '*.safetensors' | headrace warm -\n\n" +
			"What is in the cache already is not read again, so a run that was interrupted goes on where it was. Ctrl-C ends it cleanly.\n\n" +
			"With --lota, no bytes come here: the node cache of CoreWeave is asked to fetch the objects, which may be named without a mount as well. Objects of 4 MB and less are " +
			"left out, since it keeps none of them.\n\n" +
			"  headrace warm --lota /data/imagenet\n" +
			"  headrace warm --lota s3://BUCKET/imagenet --endpoint auto",
		Flags: append(append(flags, o.store.flags()...), o.store.layout.flags()...),
		Action: func(c *cli.Context) error {
			o.args, o.stdout, o.stderr = c.Args().Slice(), c.App.Writer, c.App.ErrWriter
			if err := o.resolve(c); err != nil {
				return err
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			stdin, release, err := untilEnd(ctx, o.stdin)
			if err != nil {
				return err
			}
			defer release()
			o.stdin = stdin
			return o.run(ctx)
		},
	}
}

func (o *warmOptions) resolve(c *cli.Context) error {
	o.lota = o.lota || o.both
	switch {
	case len(o.args) == 0 && o.list == "":
		return usage("warm takes files or directories of a mount: headrace warm /data/...")
	case o.jobs < 1:
		return usage("--jobs %d: at least 1 is needed", o.jobs)
	case !o.lota && (o.verify || o.again || c.IsSet("settle")):
		return usage("--verify, --settle and --again go with --lota")
	}
	return o.store.resolve(c)
}

// warmResult is what was done, as --json prints it.
type warmResult struct {
	Files   int         `json:"files"`                // read into the cache
	Bytes   int64       `json:"bytes"`                // of them that were missing
	Present int         `json:"present"`              // files that were in the cache
	Lota    *lotaResult `json:"lota,omitempty"`       // with --lota
	Failed  int         `json:"failed"`               // files and objects
	Errors  []string    `json:"errors,omitempty"`     // the first ones
	Seconds float64     `json:"seconds"`              // all in all
	DryRun  bool        `json:"dry_run,omitempty"`    // then nothing was done, and the numbers say what would be
	Partial bool        `json:"incomplete,omitempty"` // interrupted
}

func (o warmOptions) run(ctx context.Context) error {
	begin := time.Now()
	result := warmResult{DryRun: o.dryRun}
	var failures failures
	var err error
	if o.both || o.verify {
		release, err := o.keepNames(ctx)
		if f, ok := errors.AsType[*failure](err); ok {
			return f
		}
		if err != nil {
			return fail(exitFailure, err, "cannot keep the names: %v", err)
		}
		defer release()
	}
	if o.lota {
		result.Lota, err = o.stage(ctx, &failures)
	}
	if err == nil && (!o.lota || o.both) {
		err = o.fillCache(ctx, &result, &failures)
	}
	if err != nil {
		return err
	}
	result.Seconds, result.Partial = time.Since(begin).Seconds(), ctx.Err() != nil
	result.Failed = failures.count
	for _, err := range failures.first {
		result.Errors = append(result.Errors, err.Error())
	}
	if o.json {
		if err := json.NewEncoder(o.stdout).Encode(result); err != nil {
			return fail(exitFailure, err, "cannot write the result: %v", err)
		}
	}
	return failures.outcome(ctx)
}

// say prints a line for people.
func (o warmOptions) say(format string, args ...any) {
	if !o.json {
		fmt.Fprintf(o.stdout, format+"\n", args...)
	}
}

// growingBar is newBar for what is still being found.
func (o warmOptions) growingBar() *growingBar {
	return newGrowingBar(o.stderr, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
}

// newBar is a progress bar in bytes, that is seen where somebody looks.
func (o warmOptions) newBar(total int64) *progressbar.ProgressBar {
	return newBar(o.stderr, total, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
}

// newBar is a progress bar with a rate and the time left, that is seen where somebody looks.
func newBar(stderr io.Writer, total int64, options ...progressbar.Option) *progressbar.ProgressBar {
	common := []progressbar.Option{
		progressbar.OptionSetWriter(stderr), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200 * time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(stderr)),
	}
	return progressbar.NewOptions64(total, append(common, options...)...)
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

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore/probe"
)

// severity is how bad a finding is.
type severity int

const (
	fine     severity = iota // as it should be
	noted                    // could be better, or cannot be known
	warned                   // costs speed or safety
	mistaken                 // keeps something from working
)

func (s severity) String() string { return [...]string{"ok", "note", "warning", "error"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// finding is one line of the doctor's.
type finding struct {
	Check    string   `json:"check"`
	Severity severity `json:"severity"`
	Found    string   `json:"found"`
	Advice   string   `json:"advice,omitempty"` // what to do about it
}

// doctorOptions are what the command is told.
type doctorOptions struct {
	json    bool
	probe   bool
	cache   cacheOptions
	memory  size
	store   storeOptions
	stdout  io.Writer
	timeout time.Duration // for the store to answer
}

// doctorDeadline is how long the store may take for all that is asked of it, but for going through objects and the
// probe.
const doctorDeadline = 20 * time.Second

func doctorCommand() *cli.Command {
	o := doctorOptions{timeout: doctorDeadline, memory: defaultMemory(os.DirFS("/"))}
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "json", EnvVars: environment("json"), Destination: &o.json, Usage: "print JSON, one finding a line"},
		&cli.BoolFlag{
			Name: "probe", EnvVars: environment("probe"), Destination: &o.probe,
			Usage: "find out what the store can do, by writing to objects named " + probe.Prefix + "... and removing them; it is remembered for later runs",
		},
		&cli.StringFlag{Name: "cache-dir", EnvVars: environment("cache-dir"), Destination: &o.cache.dir, Usage: "look at the disk that `DIR` is on, which is to be a cache"},
		&cli.GenericFlag{
			Name: "memory", EnvVars: environment("memory"), Value: &o.memory, DefaultText: memoryDefault,
			Usage: "the `SIZE` of the memory cache that is to be used",
		},
	}
	return &cli.Command{
		Name:      "doctor",
		Usage:     "look at machine and store, and say what to do",
		ArgsUsage: "[PATH|s3://BUCKET[/PREFIX]...]",
		Description: "Looks at the kernel, FUSE, limits and memory of this machine, at the endpoint, the clock and the credentials, and at the buckets, files or directories that are named: whether they can be listed, how " +
			"their keys are stored, and which large objects are of one piece. Nothing is written but by --probe.\n\n" +
			"  headrace doctor s3://BUCKET --endpoint auto\n" +
			"  headrace doctor s3://BUCKET --probe --cache-dir /nvme/headrace\n" +
			"  headrace doctor /data/models\n\n" +
			"One line a finding; the exit code is 0 where all is well or as well as can be, 13 where something costs speed or safety, and 14 where something does not work.",
		Flags: append(append(flags, o.store.flags()...), o.store.layout.flags()...),
		Action: func(c *cli.Context) error {
			if err := o.store.resolve(c); err != nil {
				return err
			}
			if o.probe && !slices.ContainsFunc(c.Args().Slice(), namesBucket) {
				return usage("--probe needs to know where it may write: headrace doctor --probe s3://BUCKET")
			}
			o.stdout = c.App.Writer
			ctx, stop := untilTold(c.Context)
			defer stop()
			return o.run(ctx, c.Args().Slice())
		},
	}
}

// namesBucket tells whether an argument is a bucket's by name.
func namesBucket(arg string) bool { return strings.HasPrefix(arg, sourceScheme) && arg != sourceScheme }

func (o doctorOptions) run(ctx context.Context, args []string) error {
	worst := fine
	var failed error
	tell := func(found ...finding) {
		for _, f := range found {
			worst = max(worst, f.Severity)
			failed = errors.Join(failed, o.print(f))
		}
	}
	tell(judgeHost(lookAtHost(os.DirFS("/")), o.memory)...)
	if o.cache.dir != "" {
		tell(judgeDisk(measureDisk(o.cache.dir))...)
	}
	if err := o.lookAtStores(ctx, args, tell); err != nil {
		return err
	}
	for _, arg := range args {
		tell(o.objects(ctx, arg)...)
	}
	switch {
	case ctx.Err() != nil:
		return fail(exitPartial, ctx.Err(), "interrupted")
	case failed != nil:
		return fail(exitFailure, failed, "cannot print: %v", failed)
	case worst == warned:
		return fail(exitAdvised, nil, "some of this costs speed or safety: see the lines marked warning")
	case worst == mistaken:
		return fail(exitBroken, nil, "some of this does not work: see the lines marked error")
	}
	return nil
}

func (o doctorOptions) print(f finding) error {
	if o.json {
		return json.NewEncoder(o.stdout).Encode(f)
	}
	advice := ""
	if f.Advice != "" {
		advice = ": " + f.Advice
	}
	_, err := fmt.Fprintf(o.stdout, "%-8s %-12s %s%s\n", f.Severity, f.Check, f.Found, advice)
	return err
}

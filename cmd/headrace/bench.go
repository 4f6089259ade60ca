package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
	"github.com/urfave/cli/v2"
)

// measuring is what all commands have that measure a store: which one, what is read of it, and how it is told.
type measuring struct {
	store storeOptions
	keys  cli.StringSlice
	dir   string
	json  bool
}

// benchOptions are the flags of `headrace bench`.
type benchOptions struct {
	measuring
	workloads cli.StringSlice
	mountArgs cli.StringSlice
	readOnly  bool
	shape     string
	objects   size
	files     int
	duration  interval
}

const benchGroup = "What to measure"

// flags are a command's own and the common ones. What the command is called in variables of the environment, and what
// is said of its --key and --dir, is its own.
func (m *measuring) flags(command, key, dir string, own ...cli.Flag) []cli.Flag {
	own = append(
		own,
		&cli.StringSliceFlag{Name: "key", Category: benchGroup, EnvVars: environment(command + "-key"), Destination: &m.keys, Usage: key},
		&cli.StringFlag{
			Name: "dir", Category: benchGroup, EnvVars: environment(command + "-dir"), Destination: &m.dir, Usage: dir, DefaultText: "the system's temporary folder",
		},
		&cli.BoolFlag{Name: "json", Category: benchGroup, EnvVars: environment(command + "-json"), Destination: &m.json, Usage: "print the report as JSON"},
	)
	return append(own, m.store.flags()...)
}

func (o *benchOptions) flags() []cli.Flag {
	o.objects, o.duration = 2*gib, interval(8*time.Second)
	own := []cli.Flag{
		&cli.StringSliceFlag{
			Name: "workload", Category: benchGroup, EnvVars: environment("bench-workload"), Destination: &o.workloads,
			Usage: "measure only the workload `NAME`; repeat for more",
		},
		&cli.StringFlag{
			Name: "shape", Category: benchGroup, EnvVars: environment("bench-shape"), Destination: &o.shape,
			Usage: "make the store look farther away: `LATENCY,RATE` to the first byte and of each connection, as 20ms,80MiB",
		},
		&cli.GenericFlag{
			Name: "size", Category: benchGroup, EnvVars: environment("bench-size"), Value: &o.objects,
			Usage: "the `SIZE` of the large object",
		},
		&cli.IntFlag{
			Name: "files", Category: benchGroup, EnvVars: environment("bench-files"), Destination: &o.files, Value: 2000,
			Usage: "how many (`N`) files of 100 KiB",
		},
		&cli.GenericFlag{
			Name: "duration", Category: benchGroup, EnvVars: environment("bench-duration"), Value: &o.duration,
			Usage: "the `DURATION` of each random workload",
		},
		&cli.BoolFlag{
			Name: "read-only", Category: benchGroup, EnvVars: environment("bench-read-only"), Destination: &o.readOnly,
			Usage: "write nothing: read the objects named by --key",
		},
		&cli.StringSliceFlag{
			Name: "mount-flag", Category: benchGroup, EnvVars: environment("bench-mount-flag"), Destination: &o.mountArgs,
			Usage: "a further `FLAG` for the mount, as --memory=1GiB; repeat for more",
		},
	}
	return o.measuring.flags("bench", "read the object `KEY`; repeat for more",
		"`DIR` for the mount point, a local server's folder and disk caches: on the disk that is to be measured", own...)
}

func benchCommand() *cli.Command {
	var o benchOptions
	return &cli.Command{
		Name:      "bench",
		Usage:     "compare a mount with a raw S3 client, or with plain files",
		ArgsUsage: "[s3://BUCKET[/PREFIX]]",
		Description: "Reads and writes the same bytes by a raw client and through a mount, in one run, and prints both, their ratio, and what it cost. " +
			"Without a bucket it starts a local S3 server over a temporary folder. With one it makes objects of its own below the prefix and removes " +
			"them afterwards; with --read-only it reads the objects given by --key and writes nothing to the store.\n\n" +
			"The workloads called disk-... read from a disk cache below --dir, and compare with plain files on the same disk, with a mount without a disk " +
			"cache, or with one that answers from memory. They need root, to drop the page cache, and seven times --size of disk with a local server.\n\n" +
			"The workloads called write-... store files of half of --size and less, by parts of 64 MiB on both sides; write-staging-... is about write(2) alone.\n\n" +
			"`headrace bench sweep` measures the store alone, with more and more requests at once.",
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			options, err := o.resolve(c)
			if err != nil {
				return err
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			options.Progress = c.App.ErrWriter
			report, err := bench.Run(ctx, options)
			return o.present(c.App.Writer, report, err, options.Bucket)
		},
	}
}

// present prints what was measured, also when the run ended early: it may have taken long, and the rows stand for
// themselves. How the run ended is the result.
func (o *benchOptions) present(w io.Writer, report *bench.Report, ended error, bucket string) error {
	ended = o.explain(ended, report != nil, bucket)
	if report == nil || ended != nil && len(report.Rows) == 0 {
		return ended
	}
	write := report.WriteTable
	if o.json {
		write = report.WriteJSON
	}
	return errors.Join(ended, write(w))
}

// explain makes err, which ended a run, a failure as the user sees it. Until measuring has begun the store is to blame;
// then the error names the workload, and what went wrong may be anything.
func (m *measuring) explain(err error, begun bool, bucket string) error {
	left, isLeft := errors.AsType[*bench.LeftoverError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bench.ErrOptions):
		return usage("%v", err)
	case begun && errors.Is(err, context.Canceled):
		err = fail(exitFailure, err, "interrupted: %v", err)
	case !begun:
		// This says what to do about the store, and no word of the objects.
		if err = explainStore(err, bucket, m.store); isLeft {
			err = fail(exitCode(err), err, "%v; %v", err, left)
		}
	}
	return err
}

// shaperCommand is the proxy that `headrace bench --shape` runs in a process of its own.
func shaperCommand() *cli.Command {
	return &cli.Command{
		Name:      bench.ShapeCommand,
		Usage:     "make a store look farther away",
		ArgsUsage: "HOST:PORT LATENCY BYTES_A_SECOND",
		Hidden:    true,
		Action: func(c *cli.Context) error {
			if c.NArg() != 3 {
				return usage("%s is run by bench --shape", bench.ShapeCommand)
			}
			latency, err := time.ParseDuration(c.Args().Get(1))
			if err != nil {
				return usage("%s: latency %q: %v", bench.ShapeCommand, c.Args().Get(1), err)
			}
			rate, err := strconv.ParseInt(c.Args().Get(2), 10, 64)
			if err != nil {
				return usage("%s: rate %q: %v", bench.ShapeCommand, c.Args().Get(2), err)
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			return bench.Shape(ctx, c.Args().First(), latency, rate, c.App.Writer)
		},
	}
}

// resolve checks what was given and puts it into the benchmark's own terms.
func (o *benchOptions) resolve(c *cli.Context) (bench.Options, error) {
	options, err := o.measuring.resolve(c)
	if err != nil {
		return options, err
	}
	options.ReadOnly, options.Workloads, options.MountArgs = o.readOnly, o.workloads.Value(), o.mountArgs.Value()
	options.Size, options.SmallFiles, options.Duration = int64(o.objects), o.files, time.Duration(o.duration)
	if o.readOnly && (options.Bucket == "" || len(options.Keys) == 0) {
		return options, usage("--read-only needs a bucket and --key: say which objects to read: headrace bench s3://BUCKET --read-only --key KEY")
	}
	options.FirstByte, options.Rate, err = parseShape(o.shape)
	return options, err
}

// resolve says which store is measured.
func (m *measuring) resolve(c *cli.Context) (bench.Options, error) {
	if err := m.store.resolve(c); err != nil {
		return bench.Options{}, err
	}
	options := bench.Options{
		Endpoint: m.store.endpoint, Region: m.store.region, Profile: m.store.profile, PathStyle: m.store.pathStyle,
		NoSignRequest: m.store.noSignRequest, RequesterPays: m.store.requesterPays, Keys: m.keys.Value(), Dir: m.dir,
	}
	switch c.NArg() {
	case 0:
		if m.store.endpoint != "" {
			return options, usage("--endpoint needs a bucket: headrace %s s3://BUCKET", c.Command.Name)
		}
	case 1:
		src, err := parseSource(c.Args().First())
		if err != nil {
			return options, err
		}
		if src.all() {
			return options, usage("%[1]s needs one bucket: headrace %[1]s s3://BUCKET", c.Command.Name)
		}
		options.Bucket, options.Prefix = src.bucket, src.prefix
	default:
		return options, usage("%[1]s takes one bucket at most: headrace %[1]s s3://BUCKET[/PREFIX]", c.Command.Name)
	}
	return options, nil
}

// parseShape reads LATENCY,RATE, as 20ms,80MiB. "" is no shape.
func parseShape(text string) (firstByte time.Duration, rate int64, err error) {
	if text == "" {
		return 0, 0, nil
	}
	latency, perSecond, _ := strings.Cut(text, ",")
	var d interval
	var s size
	if d.Set(latency) != nil || s.Set(perSecond) != nil {
		return 0, 0, usage("--shape %q: write it as LATENCY,RATE, as in 20ms,80MiB", text)
	}
	return time.Duration(d), int64(s), nil
}

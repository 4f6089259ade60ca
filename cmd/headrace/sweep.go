package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/bench"
	"github.com/urfave/cli/v2"
)

// sweepOptions are the flags of `headrace bench sweep`.
type sweepOptions struct {
	measuring
	operations  cli.StringSlice
	sizes       cli.StringSlice
	concurrency string
	duration    interval
}

func (o *sweepOptions) flags() []cli.Flag {
	o.duration = interval(3 * time.Second)
	own := []cli.Flag{
		&cli.StringSliceFlag{
			Name: "operation", Category: benchGroup, EnvVars: environment("sweep-operation"), Destination: &o.operations,
			Usage: "measure only the operation `NAME`: get, put, head or list; repeat for more",
		},
		&cli.StringSliceFlag{
			Name: "size", Category: benchGroup, EnvVars: environment("sweep-size"), Destination: &o.sizes, DefaultText: "16MiB",
			Usage: "the `SIZE` of what a GET reads and a PUT stores; repeat for more",
		},
		&cli.StringFlag{
			Name: "concurrency", Category: benchGroup, EnvVars: environment("sweep-concurrency"), Destination: &o.concurrency, Value: "1,2,4,8,16,32,64,100,150,200,300",
			Usage: "how many requests at once, step by step: `N,N,...`",
		},
		&cli.GenericFlag{
			Name: "duration", Category: benchGroup, EnvVars: environment("sweep-duration"), Value: &o.duration,
			Usage: "the `DURATION` of each step",
		},
	}
	all := o.measuring.flags("sweep", "write nothing, and read the object `KEY`; repeat for more", "`DIR` for a local server's folder", own...)
	return withoutFlag(all, "max-concurrency")
}

func sweepCommand() *cli.Command {
	var o sweepOptions
	return &cli.Command{
		Name:      "bench sweep",
		Usage:     "measure a store with more and more requests at once",
		ArgsUsage: "[s3://BUCKET[/PREFIX]]",
		Description: "Makes requests of one kind, without a mount, more and more of them at once, and prints throughput and latency of each step, a plot, and which settings they speak for. " +
			"Without a bucket it starts a local S3 server over a temporary folder. With one it makes objects of its own below the prefix and removes them afterwards; with --key " +
			"it reads the objects given and writes nothing.\n\n" +
			"PUTs need as much room in the store as --size times the largest number of requests, for each size. A curve ends early when a step brings less than half of the best one or most of its requests hang, since " +
			"a store that is asked for more may serve nobody. All of it loads the store as much as it can bear: not beside work that matters.",
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			store, what, err := o.resolve(c)
			if err != nil {
				return err
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			store.Progress = c.App.ErrWriter
			report, err := bench.Sweep(ctx, store, what)
			return o.present(c, report, err, store.Bucket)
		},
	}
}

// present prints what was measured, also when the run ended early, as that of bench does.
func (o *sweepOptions) present(c *cli.Context, report *bench.SweepReport, ended error, bucket string) error {
	ended = o.explain(ended, report != nil && len(report.Curves) > 0, bucket)
	if report == nil || ended != nil && len(report.Curves) == 0 {
		return ended
	}
	write := report.WriteTable
	if o.json {
		write = report.WriteJSON
	}
	return errors.Join(ended, write(c.App.Writer))
}

// resolve checks what was given and puts it into the benchmark's own terms.
func (o *sweepOptions) resolve(c *cli.Context) (store bench.Options, what bench.SweepOptions, err error) {
	o.store.maxConcurrency = defaultConcurrency
	if store, err = o.measuring.resolve(c); err != nil {
		return store, what, err
	}
	if len(store.Keys) > 0 && store.Bucket == "" {
		return store, what, usage("--key needs a bucket: headrace bench sweep s3://BUCKET")
	}
	what = bench.SweepOptions{Operations: separate(o.operations.Value()), Duration: time.Duration(o.duration)}
	for _, text := range separate(o.sizes.Value()) {
		var s size
		if s.Set(text) != nil || s < 1 {
			return store, what, usage("--size %q: write it as 64KiB or 16MiB", text)
		}
		what.Sizes = append(what.Sizes, int64(s))
	}
	for _, text := range separate([]string{o.concurrency}) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return store, what, usage("--concurrency %q: write it as 1,16,64", o.concurrency)
		}
		what.Concurrency = append(what.Concurrency, n)
	}
	return store, what, nil
}

// separate takes lists apart that are written with commas: the environment has one variable for all of a flag's values.
func separate(lists []string) (all []string) {
	for _, list := range lists {
		for word := range strings.SplitSeq(list, ",") {
			all = append(all, strings.TrimSpace(word))
		}
	}
	return all
}

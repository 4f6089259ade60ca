package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/objstore"
)

const (
	// stripe is the size of the parts, in bytes: LOTA spreads parts over nodes, and wants 50 MB at least.
	stripe = 64 << 20
	// restripeJobs is how many objects are copied at the same time; each has several requests under way.
	restripeJobs = 4
)

// unstriped tells whether an object is large and was stored with one request, so that one node has to serve it all.
func unstriped(e objstore.Entry) bool {
	_, parts, multipart := strings.Cut(e.ETag, "-")
	return e.Size > stripe && (!multipart || parts == "1")
}

// restripeOptions are what the command is told.
type restripeOptions struct {
	bulk
	jobs int
}

func restripeCommand() *cli.Command {
	o := restripeOptions{bulk: newBulk()}
	jobs := &cli.IntFlag{Name: "jobs", EnvVars: environment("jobs"), Destination: &o.jobs, Value: restripeJobs, Usage: "copy `N` objects at the same time"}
	return &cli.Command{
		Name:      "restripe",
		Usage:     "store large objects in parts that were stored as one piece",
		ArgsUsage: "PATH...|s3://BUCKET/PREFIX...",
		Description: "CoreWeave's LOTA spreads the parts of an object over its nodes; an object of one piece lies on one of them. Objects of more than 64 MiB that were stored with one request are " +
			"copied onto themselves in parts of 64 MiB, on the store's side: no bytes come here. What goes along with them stays as it is, and one that somebody replaces meanwhile is left alone.\n\n" +
			"  headrace restripe /data/models\n" +
			"  headrace restripe s3://BUCKET/models --dry-run\n\n" +
			"Objects that are in parts are skipped, so it can be run again. Ctrl-C ends it cleanly. For files of a mount, the store is the mount's; - reads names from standard input.",
		Flags: o.flags(true, jobs),
		Action: func(c *cli.Context) error {
			switch {
			case o.jobs < 1:
				return usage("--jobs %d: at least 1 is needed", o.jobs)
			case c.NArg() == 0:
				return usage("restripe takes files or directories of a mount, or s3://BUCKET/PREFIX")
			}
			return o.run(c, o.work)
		},
	}
}

func (o *restripeOptions) work(ctx context.Context, args []string) error {
	stores := newStores(o.store)
	defer stores.close()
	var failures failures
	todo, whole, err := o.collect(ctx, stores, args, &failures, unstriped)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, o := range todo {
		total += o.Size
	}
	if o.dryRun {
		for _, found := range todo {
			fmt.Fprintf(o.stdout, "%s %s\n", found.name(), sizeText(found.Size))
		}
		fmt.Fprintf(o.stdout, "would copy %d objects, %s; %d need it not\n", len(todo), sizeText(total), whole)
		return failures.outcome(ctx)
	}
	o.tidy(ctx, stores, &failures)
	bar := o.bar(total)
	var done, bytes atomic.Int64
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for _, found := range todo {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			err := restripe(ctx, found, objstore.CopyPlan{Progress: func(n int64) { _ = bar.Add64(n) }, Log: o.log})
			switch {
			case err == nil:
				done.Add(1)
				bytes.Add(found.Size)
			case ctx.Err() == nil:
				failures.add(fmt.Errorf("%s: %w", found.name(), err))
			}
			return nil // the others go on
		})
	}
	_ = g.Wait() // what failed is in failures
	_ = bar.Finish()
	fmt.Fprintf(o.stdout, "copied %d objects in parts, %s; %d needed it not\n", done.Load(), sizeText(bytes.Load()), whole)
	return failures.outcome(ctx)
}

// restripe copies an object onto itself in parts, if it is still the one that was found.
func restripe(ctx context.Context, o object, p objstore.CopyPlan) error {
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
	e, err := o.bucket.Stat(ctx, o.Key)
	if err != nil {
		return err
	}
	if e.ETag != o.ETag {
		return fmt.Errorf("it was replaced meanwhile: %w", objstore.ErrChanged)
	}
	p.Condition.IfMatch = o.ETag
	p.Attributes, err = objstore.AllAttributesOf(ctx, o.bucket, e)
	if err != nil {
		return fmt.Errorf("what goes along with it would be lost: %w", err)
	}
	_, err = objstore.CopyParts(ctx, o.bucket, o.Key, o.version(), objstore.CopyRanges(o.Size, stripe), p)
	return err
}

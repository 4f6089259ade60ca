package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore"
)

// bulk is what those commands have in common that do something with each of many objects, on the store's side.
type bulk struct {
	dryRun bool
	store  storeOptions
	log    *copyLog // of what is being copied in parts

	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func newBulk() bulk { return bulk{stdin: os.Stdin} }

// flags are own ones and the common ones. A command whose keys are always plain ones has no layout.
func (b *bulk) flags(layout bool, own ...cli.Flag) []cli.Flag {
	own = append(own, &cli.BoolFlag{Name: "dry-run", EnvVars: environment("dry-run"), Destination: &b.dryRun, Usage: "only say what would be done"})
	own = append(own, b.store.flags()...)
	if layout {
		own = append(own, b.store.layout.flags()...)
	}
	return own
}

// run resolves what was given, and has the command do its work until it is through or told to end.
func (b *bulk) run(c *cli.Context, work func(ctx context.Context, args []string) error) error {
	if err := b.store.resolve(c); err != nil {
		return err
	}
	b.stdout, b.stderr = c.App.Writer, c.App.ErrWriter
	ctx, stop := untilTold(c.Context)
	defer stop()
	stdin, release, err := untilEnd(ctx, b.stdin)
	if err != nil {
		return err
	}
	defer release()
	b.stdin, b.log = stdin, newCopyLog(time.Now, b.stderr)
	err = work(ctx, c.Args().Slice())
	if closed := b.log.close(); err == nil {
		err = closed
	}
	if err == nil {
		err = new(failures).outcome(ctx) // what stopped in the middle of its names has not done all of it
	}
	return err
}

// tidy gives up the uploads that runs which were killed have left in the buckets that are open. In a dry run it does
// not.
func (b *bulk) tidy(ctx context.Context, stores *stores, failures *failures) {
	if b.dryRun {
		return
	}
	given, err := b.log.giveUpLeft(ctx, stores.buckets(), func(u leftUpload) {
		fmt.Fprintf(b.stderr, "an upload of s3://%s/%s was about to begin at %s by a run that was killed, and cannot be told from others: see `aws s3api list-multipart-uploads`\n",
			u.Bucket, u.Key, u.At.Local().Format(time.DateTime))
	})
	if given > 0 {
		fmt.Fprintf(b.stderr, "gave up %d multipart uploads that a run which was killed had left\n", given)
	}
	if ctx.Err() == nil {
		failures.add(err)
	}
}

// bar is a progress bar in bytes.
func (b *bulk) bar(total int64) *progressbar.ProgressBar {
	return newBar(b.stderr, total, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
}

// collect finds the objects that args name and that are wanted, and tells how many are not. What cannot be found is a
// failure of its own.
func (b *bulk) collect(ctx context.Context, stores *stores, args []string, failures *failures, wanted func(objstore.Entry) bool) (all []object, others int, err error) {
	err = stores.each(ctx, args, b.stdin, failures, func(found object) error {
		if wanted(found.Entry) {
			all = append(all, found)
		} else {
			others++
		}
		return nil
	})
	return all, others, err
}

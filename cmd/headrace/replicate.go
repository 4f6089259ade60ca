package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/hashed"
	"github.com/headrace/headrace/objstore/replicas"
)

// replicateOptions are what the command is told.
type replicateOptions struct {
	bulk
	copies int
}

func replicateCommand() *cli.Command {
	o := replicateOptions{bulk: newBulk()}
	copies := &cli.IntFlag{
		Name: "copies", EnvVars: environment("copies"), Destination: &o.copies, Value: -1, DefaultText: "to be given",
		Usage: "`N` copies beside the original; 0 removes those there are",
	}
	return &cli.Command{
		Name:      "replicate",
		Usage:     "keep copies of objects that all nodes read, for mounts with --replicas",
		ArgsUsage: "PATH...|s3://BUCKET/KEY...",
		Description: "An object lies in one partition of its store. Copies under other hashes lie elsewhere, and mounts with --replicas spread their reads over them. Copies are made on the store's side; a " +
			"manifest in the bucket, below " + replicas.Prefix + ", says which content they are of, and once the object is replaced they are not read any more: run the command again then.\n\n" +
			"  headrace replicate /data/models/base.safetensors --copies 8\n" +
			"  headrace replicate s3://BUCKET/models/base.safetensors --copies 0\n\n" +
			"Directories stand for all files below them. Copies that are right already stay, so it can be run again. For files of a mount, the store is the mount's.",
		Flags: o.flags(true, copies),
		Action: func(c *cli.Context) error {
			switch {
			case c.NArg() == 0:
				return usage("replicate takes files of a mount, or s3://BUCKET/KEY")
			case o.copies < 0 || o.copies > replicas.MaxCopies:
				return usage("--copies says how many copies there are to be, up to %d; 0 removes them", replicas.MaxCopies)
			}
			return o.run(c, o.work)
		},
	}
}

func (o *replicateOptions) work(ctx context.Context, args []string) error {
	stores := newStores(o.store)
	defer stores.close()
	var failures failures
	todo, err := o.find(ctx, stores, args, &failures)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, found := range todo {
		total += found.Size * int64(o.copies)
	}
	if o.dryRun {
		for _, found := range todo {
			fmt.Fprintf(o.stdout, "%s %s\n", found.name(), sizeText(found.Size))
		}
		fmt.Fprintf(o.stdout, "would keep %d copies of each of %d objects, %s in all\n", o.copies, len(todo), sizeText(total))
		return failures.outcome(ctx)
	}
	o.tidy(ctx, stores, &failures)
	bar := o.bar(total)
	done := 0
	for _, found := range todo { // one after the other: each has several requests under way
		if ctx.Err() != nil {
			break
		}
		err := o.replicate(ctx, found, func(n int64) { _ = bar.Add64(n) })
		switch {
		case err == nil:
			done++
		case ctx.Err() == nil:
			failures.add(fmt.Errorf("%s: %w", found.name(), err))
		}
	}
	_ = bar.Finish()
	fmt.Fprintf(o.stdout, "%d objects have %d copies each\n", done, o.copies)
	return failures.outcome(ctx)
}

// find finds the objects that args name, less the copies and manifests among them. Where copies are to be removed,
// those count as well that are gone and have left copies.
func (o *replicateOptions) find(ctx context.Context, stores *stores, args []string, failures *failures) (todo []object, err error) {
	err = arguments(args, o.stdin, func(arg string) error {
		if o.copies == 0 && strings.HasPrefix(arg, sourceScheme) {
			if gone, ok := leftCopies(ctx, stores, arg); ok {
				todo = append(todo, gone)
				return nil
			}
		}
		return stores.eachBelow(ctx, arg, failures, func(found object) error {
			if !replicas.Own(found.Key) {
				todo = append(todo, found)
			}
			return nil
		})
	})
	return todo, err
}

// leftCopies is an object that is gone, and has copies.
func leftCopies(ctx context.Context, stores *stores, arg string) (object, bool) {
	at, err := stores.place(ctx, arg)
	if err != nil || at.key == "" {
		return object{}, false // finding it in the usual way says what is wrong
	}
	gone := object{at.bucket, objstore.Entry{Key: at.key}}
	if _, err := at.bucket.Stat(ctx, at.key); !errors.Is(err, objstore.ErrNotExist) {
		return object{}, false
	}
	as := asStored(gone)
	_, err = as.bucket.Stat(ctx, replicas.ManifestKey(as.Key))
	return gone, err == nil
}

// asStored is an object in the bucket below its layout: manifests and copies are of keys as they are stored.
func asStored(o object) object {
	if h, ok := o.bucket.(*hashed.Bucket); ok {
		o.bucket, o.Key = h.Unwrap(), hashed.Encode(o.Key)
	}
	return o
}

// replicate makes the copies of one object.
func (o *replicateOptions) replicate(ctx context.Context, found object, progress func(int64)) error {
	ctx = objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassWarm))
	found = asStored(found)
	_, err := replicas.Make(ctx, found.bucket, found.Entry, replicas.Plan{Copies: o.copies, Now: time.Now(), Progress: progress, Log: o.log})
	if errors.Is(err, objstore.ErrChanged) {
		return fmt.Errorf("%w: run it again", err)
	}
	return err
}

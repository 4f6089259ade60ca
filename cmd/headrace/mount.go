package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
)

// mountOptions are all that a mount is told.
type mountOptions struct {
	source source
	store  storeOptions
	read   readOptions
	cache  cacheOptions
	write  writeOptions
	files  fileOptions
	daemon daemonOptions
}

// readOnly tells whether the mount refuses changes. Who sends no credentials may make none.
func (o mountOptions) readOnly() bool { return o.files.readOnly || o.store.noSignRequest }

func mountCommand() *cli.Command {
	var o mountOptions
	var flags []cli.Flag
	flags = append(flags, o.store.flags()...)
	flags = append(flags, o.store.layout.flags()...)
	flags = append(flags, o.read.flags()...)
	flags = append(flags, o.cache.flags()...)
	flags = append(flags, o.write.flags()...)
	flags = append(flags, o.files.flags()...)
	flags = append(flags, o.daemon.flags()...)
	flags = append(flags, configFlag())
	return &cli.Command{
		Name:      "mount",
		Usage:     "show a bucket, a part of one, or all of them as a directory",
		ArgsUsage: "s3://BUCKET[/PREFIX] DIR",
		Description: "Mounts what is in the bucket, or below the prefix in it, at the empty directory DIR; s3:// alone shows every bucket as a directory of its own. " +
			"The command returns when the mount answers and leaves a process in the background that serves it; `headrace umount DIR` ends both.\n\n" +
			"  headrace mount s3://datasets /data\n" +
			"  headrace mount s3://datasets/imagenet /data --read-only --memory 8GiB\n" +
			"  headrace mount s3://datasets /data --cache-dir /nvme/headrace --cache-size 2TiB\n" +
			"  headrace mount s3://datasets /data --endpoint https://cwobject.com --foreground\n\n" +
			"Credentials are found as every AWS tool finds them: environment, ~/.aws, SSO, container and instance roles. " +
			"Flags may stand before or after the arguments, and each can come from the environment: --metadata-ttl is HEADRACE_METADATA_TTL.",
		Flags: flags,
		Action: func(c *cli.Context) error {
			if err := o.resolve(c); err != nil {
				return err
			}
			return mount(c.Context, c.Args().Get(1), o, c.App.ErrWriter)
		},
	}
}

// resolve checks what was given once all flags are read.
func (o *mountOptions) resolve(c *cli.Context) (err error) {
	if c.NArg() != 2 {
		return usage("mount takes a bucket and a directory: headrace mount s3://BUCKET[/PREFIX] DIR")
	}
	if o.source, err = parseSource(c.Args().First()); err != nil {
		return err
	}
	if err := o.store.resolve(c); err != nil {
		return err
	}
	if err := o.read.resolve(); err != nil {
		return err
	}
	if err := o.cache.resolve(); err != nil {
		return err
	}
	if o.cache.dir != "" {
		o.store.layout.dir = filepath.Join(o.cache.dir, "keys")
	}
	if err := o.write.resolve(); err != nil {
		return err
	}
	if err := o.files.resolve(o.source); err != nil {
		return err
	}
	return o.daemon.resolve()
}

// mount serves a mount in the foreground, or has a child do so and returns when the child's mount answers.
func mount(ctx context.Context, dir string, o mountOptions, stderr io.Writer) error {
	ready := inheritedReadiness()
	if !ready.awaited() {
		// Said at once and not by the child: these need no store.
		if _, err := checkMountpoint(dir); err != nil {
			return err
		}
		if err := checkFUSE("/dev/fuse", os.Getuid(), exec.LookPath); err != nil {
			return err
		}
	}
	if !o.daemon.foreground && !ready.awaited() {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		return runInBackground(ctx, os.Args, o.daemon.logFile)
	}
	err := server{background: ready.awaited(), stderr: stderr, live: func() { ready.tell(nil) }}.run(ctx, dir, o)
	ready.tell(err) // without effect when the mount has answered before
	return err
}

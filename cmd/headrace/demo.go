package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/headrace/headrace/s3server"
	"github.com/urfave/cli/v2"
)

const demoBucket = "demo"

func demoCommand() *cli.Command {
	var read readOptions
	var daemon daemonOptions
	flags := append(read.flags(), daemon.flags()...)
	daemon.logLevel.value = "warn" // what to try should not drown in events
	return &cli.Command{
		Name:      "demo",
		Usage:     "try it: a local S3 server with a small dataset, mounted, until Ctrl-C",
		ArgsUsage: "DIR",
		Description: "Starts a real S3 server (versitygw) over a temporary folder, puts a small dataset into a bucket, mounts the bucket at DIR, and " +
			"says what to try. Ctrl-C takes everything down again. DIR is made when it is not there.",
		Flags: withoutFlag(flags, "foreground"),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage("demo takes one directory: headrace demo DIR")
			}
			if err := cmp.Or(read.resolve(), daemon.resolve()); err != nil {
				return err
			}
			o := mountOptions{
				source: source{bucket: demoBucket},
				store:  storeOptions{maxConcurrency: defaultConcurrency},
				read:   read,
				cache:  cacheOptions{policy: oneOf("all")},
				write:  writeOptions{closeTimeout: defaultCloseTimeout, keepRemoved: defaultKeepRemoved, exclusiveCreate: oneOf("close", "open")},
				files:  fileOptions{uid: ownerID(os.Getuid()), gid: ownerID(os.Getgid()), fileMode: defaultFileMode, dirMode: defaultDirMode},
				daemon: daemon,
			}
			return demo(c.Context, c.Args().First(), o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// demo serves the dataset from a server of its own until a signal ends it, and leaves nothing behind.
func demo(ctx context.Context, dir string, o mountOptions, stdout, stderr io.Writer) error {
	if err := os.Mkdir(dir, 0o755); err == nil {
		defer os.Remove(dir)
	}
	if _, err := checkMountpoint(dir); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "headrace-demo-")
	if err != nil {
		return fail(exitFailure, err, "cannot make a folder for the server: %v", err)
	}
	defer os.RemoveAll(folder)

	preparing, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	fmt.Fprintln(stdout, "starting an S3 server and making a dataset ...")
	s3, err := s3server.Start(preparing, s3server.Options{Dir: folder})
	if err != nil {
		return fail(exitFailure, err, "the S3 server does not start: %v", err)
	}
	defer s3.Stop()
	o.store.endpoint, o.store.region = s3.Endpoint(), s3.Region()
	o.write.dir, o.write.size = filepath.Join(folder, "staging"), minStaging
	o.store.accessKey, o.store.secretKey = s3.AccessKey(), s3.SecretKey()
	if err := makeDataset(preparing, folder, o); err != nil {
		return err
	}
	stop()
	return server{stderr: stderr, live: func() { invite(stdout, dir, s3) }}.run(ctx, dir, o)
}

// makeDataset stores the dataset through the same layers that the mount will read it with.
func makeDataset(ctx context.Context, folder string, o mountOptions) error {
	// The server keeps a bucket as a directory of its folder.
	if err := os.Mkdir(filepath.Join(folder, demoBucket), 0o755); err != nil {
		return fail(exitFailure, err, "cannot make the bucket: %v", err)
	}
	log, closeLog, err := newLog(o.daemon, false, io.Discard)
	if err != nil {
		return err
	}
	defer closeLog()
	s, err := newStack(ctx, o, log)
	if err != nil {
		return explainStore(err, demoBucket, o.store)
	}
	b, err := s.bucket(ctx, demoBucket, "")
	if err == nil {
		err = storeDataset(ctx, b)
	}
	return explainStore(errors.Join(err, s.close()), demoBucket, o.store)
}

// invite says what to try.
func invite(w io.Writer, dir string, s3 *s3server.Server) {
	fmt.Fprintf(w, `
s3://%[1]s at %[2]s is mounted at %[3]s. In another terminal, try:

  ls -l %[3]s/images/train | head        names and sizes, from one listing
  cat %[3]s/images/labels.csv | tail -3  one file, one GET
  sha256sum %[3]s/models/weights.bin     64 MiB, in four GETs of 16 MiB, ahead of the reader
  tar cf - %[3]s | wc -c                 everything
  python3 -c "import mmap; f = open('%[3]s/models/weights.bin', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(m[:16].hex())"

The objects are ordinary ones, with any S3 tool: endpoint %[2]s, access key %[4]s, secret key %[5]s.
Ctrl-C unmounts and takes everything down.
`, demoBucket, s3.Endpoint(), dir, s3.AccessKey(), s3.SecretKey())
}

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/objstore/hashed"
)

// keysJobs is how many objects are moved at the same time: each takes a request or three.
const keysJobs = 64

// keysOptions are what the command is told.
type keysOptions struct {
	bulk
	jobs int
}

func keysCommand() *cli.Command {
	o := keysOptions{bulk: newBulk()}
	jobs := &cli.IntFlag{Name: "jobs", EnvVars: environment("jobs"), Destination: &o.jobs, Value: keysJobs, Usage: "migrate: move `N` objects at the same time"}
	return &cli.Command{
		Name:      "keys",
		Usage:     "turn keys into hashed ones and back, and move objects to theirs",
		ArgsUsage: "ACTION ARGUMENT...",
		Description: "For --key-layout hashed, under which the object of a key is stored as md5hex(key)[:6]/key. ACTION is\n\n" +
			"  encode   the stored keys of plain ones; - reads them from standard input, a line each\n" +
			"  decode   the plain keys of stored ones\n" +
			"  migrate  moves what is below s3://BUCKET/PREFIX to its stored keys, by the store's own rename or by a copy on its side\n\n" +
			"  headrace keys encode data/file.bin\n" +
			"  headrace keys migrate s3://BUCKET/data --dry-run\n\n" +
			"The hash is over the whole key in the bucket. A migration that was interrupted is gone on with by running it again. While it runs, what was moved is seen by mounts with " +
			"--key-layout hashed only, and nobody should write to plain keys below the prefix.",
		Flags: o.flags(false, jobs),
		Action: func(c *cli.Context) error {
			if o.jobs < 1 {
				return usage("--jobs %d: at least 1 is needed", o.jobs)
			}
			return o.run(c, o.work)
		},
	}
}

func (o *keysOptions) work(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return usage("keys takes an action and what to do it with: headrace keys encode KEY")
	}
	switch args[0] {
	case "encode":
		return o.each(args[1:], func(key string) (string, error) { return hashed.Encode(key), nil })
	case "decode":
		return o.each(args[1:], func(stored string) (string, error) {
			key, ok := hashed.Decode(stored)
			if !ok {
				return "", fail(exitFailure, nil, "%q is no hashed key: it should be %q, if %q is the key", stored, hashed.Encode(stored), stored)
			}
			return key, nil
		})
	case "migrate":
		if len(args) != 2 || !strings.HasPrefix(args[1], sourceScheme) {
			return usage("keys migrate takes one s3://BUCKET/PREFIX")
		}
		return o.migrate(ctx, args[1])
	}
	return usage("unknown action %q: `headrace keys --help` lists them", args[0])
}

// each prints what a function makes of each argument, or of each line where the argument is "-".
func (o *keysOptions) each(args []string, f func(string) (string, error)) error {
	say := func(arg string) error {
		out, err := f(arg)
		if err == nil {
			_, err = fmt.Fprintln(o.stdout, out)
		}
		return err
	}
	for _, arg := range args {
		var err error
		if arg == "-" {
			err = eachLine(o.stdin, say)
		} else {
			err = say(arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

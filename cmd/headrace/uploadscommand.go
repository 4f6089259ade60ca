package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// uploadsAction is what `headrace uploads` does.
type uploadsAction struct {
	usage string
	each  func(ctx context.Context, o uploadsOptions, where staged, id string) error // nil for ls, which names none
}

func uploadsActions() map[string]uploadsAction {
	return map[string]uploadsAction{
		"ls":      {usage: "what is not stored, of all mounts that run and those of the default place that are gone, and how far it is"},
		"show":    {usage: "all that is known about it", each: uploadsShow},
		"retry":   {usage: "store it now, also what was never closed; with --replace in place of what somebody else has put there", each: uploadsRetry},
		"abort":   {usage: "give it up: what was written is gone", each: uploadsAbort},
		"recover": {usage: "write it to a local file (--to FILE), or store it under another key (--to s3://BUCKET/KEY)", each: uploadsRecover},
	}
}

// uploadsOptions are what the command is told.
type uploadsOptions struct {
	json    bool
	replace bool
	to      string
	cache   string
	write   writeOptions
	store   storeOptions
	out     io.Writer
	stderr  io.Writer
}

func uploadsCommand() *cli.Command {
	var o uploadsOptions
	actions := uploadsActions()
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "json", EnvVars: environment("json"), Destination: &o.json, Usage: "print JSON, one document a line"},
		&cli.BoolFlag{Name: "replace", EnvVars: environment("replace"), Destination: &o.replace, Usage: "retry: in place of what somebody else has put there"},
		&cli.StringFlag{Name: "to", EnvVars: environment("to"), Destination: &o.to, Usage: "recover: to this new `FILE`, or under this new s3://BUCKET/KEY"},
		&cli.StringFlag{Name: "cache-dir", EnvVars: environment("cache-dir"), Destination: &o.cache, Usage: "look in this cache `DIR`, where staging files are if a mount was told no other place"},
		&cli.StringFlag{
			Name: "staging-dir", EnvVars: environment("staging-dir"), Destination: &o.write.dir, DefaultText: "of all mounts that run, and the default one",
			Usage: "look in this `DIR` where mounts keep what is not stored, and in no other: for those that are gone",
		},
	}
	return &cli.Command{
		Name:      "uploads",
		Usage:     "look at what was written and is not stored, and decide about it",
		ArgsUsage: "ACTION [ID...]",
		Description: "Works while mounts run, and when they are gone. ACTION is\n\n" +
			"  ls       " + actions["ls"].usage + "\n" +
			"  show     " + actions["show"].usage + "\n" +
			"  retry    " + actions["retry"].usage + "\n" +
			"  recover  " + actions["recover"].usage + "\n" +
			"  abort    " + actions["abort"].usage + "\n\n" +
			"What was closed is stored by the mount, or by the next one of the same bucket, without being asked. What remains here was written and never closed before a crash, " +
			"lost against another client's write, or is of a mount that has not come back. Where no mount runs, --endpoint and the like say how to reach the store, as for mount.",
		Flags: append(append(flags, o.store.flags()...), o.store.layout.flags()...),
		Action: func(c *cli.Context) error {
			if err := o.store.resolve(c); err != nil {
				return err
			}
			if err := o.write.resolve(); err != nil {
				return err
			}
			o.out, o.stderr = c.App.Writer, c.App.ErrWriter
			ctx, stop := untilTold(c.Context)
			defer stop()
			return o.run(ctx, c.Args().Slice())
		},
	}
}

func (o uploadsOptions) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("uploads takes an action: headrace uploads ls")
	}
	action, ok := uploadsActions()[args[0]]
	switch {
	case !ok:
		return usage("unknown action %q: `headrace uploads --help` lists them", args[0])
	case args[0] == "ls" && len(args) > 1:
		return usage("uploads ls takes no arguments: it shows all")
	case args[0] != "ls" && len(args) < 2:
		return usage("uploads %s takes an id: `headrace uploads ls` shows them", args[0])
	case o.replace && args[0] != "retry":
		return usage("--replace goes with retry")
	case (o.to != "") != (args[0] == "recover"):
		return usage("recover says where to, and nothing else does: headrace uploads recover ID --to FILE")
	case args[0] == "recover" && len(args) > 2:
		return usage("recover takes one id")
	}
	all, err := o.places()
	if err != nil {
		return err
	}
	if action.each == nil {
		return o.list(ctx, all)
	}
	for _, id := range args[1:] {
		where, err := all.find(id)
		if err != nil {
			return err
		}
		if err := action.each(ctx, o, where, id); err != nil {
			return explainUploads(err, id)
		}
	}
	return nil
}

// staged is a staging directory in which an id was found.
type staged struct{ dir *journal.Dir }

// explainUploads says what can be done about a refusal.
func explainUploads(err error, id string) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	switch {
	case errors.Is(err, upload.ErrReplaced):
		return fail(exitUnstored, err, "%s: somebody else has put something under its name: `headrace uploads recover %s --to FILE` gives what was written here as a file, `headrace uploads retry --replace %s` puts it there instead", id, id, id)
	case errors.Is(err, upload.ErrBeingWritten):
		return fail(exitBusy, err, "%s: a process is writing it: close it first", id)
	case errors.Is(err, upload.ErrBeingMoved):
		return fail(exitBusy, err, "%s: it is being moved: wait for the rename", id)
	case errors.Is(err, journal.ErrInUse):
		return fail(exitBusy, err, "%s: its mount is starting or ending, or somebody else decides about it: try again", id)
	case errors.Is(err, journal.ErrDamaged):
		return fail(exitUnstored, err, "%s: its log is damaged (%v): `headrace uploads recover %s --to FILE` gives the bytes there are, `headrace uploads abort %s` removes them", id, err, id, id)
	case errors.Is(err, os.ErrNotExist) && !answered(err):
		return fail(exitFailure, err, "%s is not there any more: it may have been stored meanwhile", id)
	}
	return fail(exitUnstored, err, "%s: %v", id, err)
}

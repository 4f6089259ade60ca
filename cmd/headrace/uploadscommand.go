package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
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
		"ls":      {usage: "what is not stored, of all mounts of this machine, and how far it is"},
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
		&cli.StringFlag{Name: "cache-dir", EnvVars: environment("cache-dir"), Destination: &o.cache, Usage: "the cache `DIR` of the mount, where staging files are if nothing else was said"},
		&cli.StringFlag{
			Name: "staging-dir", EnvVars: environment("staging-dir"), Destination: &o.write.dir, DefaultText: "as of a mount",
			Usage: "the `DIR` where the mounts keep what is not stored",
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
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
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
	root, err := o.write.place(o.cache)
	if err != nil {
		return err
	}
	if action.each == nil {
		return o.list(ctx, root)
	}
	for _, id := range args[1:] {
		where, err := findStaged(root, id)
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

func findStaged(root, id string) (staged, error) {
	dirs, err := journal.List(root)
	for _, d := range dirs {
		if filepath.Base(id) == id && d.Has(id) {
			return staged{d}, nil
		}
	}
	if err != nil {
		return staged{}, explainStaging(err, root)
	}
	return staged{}, fail(exitFailure, os.ErrNotExist, "nothing with the id %s is in %s: `headrace uploads ls` shows what is; --staging-dir says where to look", id, root)
}

// unstored is one line of the list.
type unstored struct {
	upload.Status
	Mountpoint string `json:"mountpoint"`
	Mounted    bool   `json:"mounted"`
}

func (o uploadsOptions) list(ctx context.Context, root string) error {
	dirs, err := journal.List(root)
	if err != nil {
		return explainStaging(err, root)
	}
	var all []upload.Status
	of := make(map[string]unstored)
	for _, d := range dirs {
		found, mounted, err := statusIn(ctx, d)
		if err != nil {
			return explainStaging(err, d.Path())
		}
		for _, s := range found {
			of[s.ID+s.Bucket+"/"+s.Key] = unstored{s, d.Owner().Mountpoint, mounted}
		}
		all = append(all, found...)
	}
	upload.SortStatus(all)
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	for _, s := range all {
		one := of[s.ID+s.Bucket+"/"+s.Key]
		if o.json {
			err = json.NewEncoder(o.out).Encode(one)
		} else {
			_, err = fmt.Fprintln(table, one.line())
		}
		if err != nil {
			return err
		}
	}
	if len(all) == 0 && !o.json {
		fmt.Fprintf(o.stderr, "everything is stored (%s)\n", root)
	}
	return table.Flush()
}

// statusIn asks the mount whose directory it is, or reads what a dead one has left.
func statusIn(ctx context.Context, d *journal.Dir) (all []upload.Status, mounted bool, err error) {
	mount, err := dialControl(ctx, d)
	if err != nil {
		return nil, false, err
	}
	if mount == nil {
		all, err = upload.StatusAt(d)
		return all, false, err
	}
	defer mount.close()
	all, err = mount.status(ctx)
	return all, true, err
}

// line is a row of the table: id, state, how far, what, why.
func (u unstored) line() string {
	id := u.ID
	if id == "" {
		id = "-"
	}
	far := sizeText(u.Size)
	switch {
	case u.To != "":
		far = fmt.Sprintf("%d/%d objects", u.Sent, u.Size)
	case u.Sent > 0:
		far = fmt.Sprintf("%s/%s", sizeText(u.Sent), far)
	}
	what := fmt.Sprintf("%q", u.object(u.Key))
	if u.To != "" {
		what += fmt.Sprintf(" -> %q", u.object(u.To))
	}
	where := u.Mountpoint
	if !u.Mounted {
		where += " (gone)"
	}
	reason := strings.ReplaceAll(u.Reason, "\n", "; ")
	return strings.Join([]string{id, string(u.State), far, humanize.Time(u.Changed), where, what, reason}, "\t")
}

func (u unstored) object(key string) string { return "s3://" + u.Bucket + "/" + key }

// uploadsShow tells all that is known about one.
func uploadsShow(ctx context.Context, o uploadsOptions, where staged, id string) error {
	all, mounted, err := statusIn(ctx, where.dir)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID != id {
			continue
		}
		one := shown{unstored: unstored{s, where.dir.Owner().Mountpoint, mounted}, Directory: where.dir.Path()}
		if err := one.read(where.dir, id); err != nil {
			return err
		}
		return one.print(o)
	}
	return os.ErrNotExist // it was stored meanwhile
}

// shown is what `show` tells.
type shown struct {
	unstored
	Directory string              `json:"directory"`
	Replaces  string              `json:"replaces_etag,omitempty"` // what the key held
	Base      string              `json:"base_etag,omitempty"`     // what the file began as
	Local     int64               `json:"local_bytes"`
	Created   time.Time           `json:"created,omitzero"`
	Uploads   []journal.Multipart `json:"multipart_uploads,omitempty"`
}

// read adds what the log says of a file. A rename has no more than its status.
func (s *shown) read(dir *journal.Dir, id string) error {
	r, data, err := dir.Look(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if data != nil {
		defer data.Close()
	}
	s.Replaces, s.Base, s.Created, s.Uploads = r.Replaces.ETag, r.Base.ETag, r.Created, r.Uploads
	for _, one := range r.Local {
		s.Local += one.Len
	}
	return nil
}

func (s *shown) print(o uploadsOptions) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(s)
	}
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, text)
		}
	}
	row("id", "%s", s.ID)
	row("state", "%s", s.State)
	row("object", "%q", s.object(s.Key))
	if s.To != "" {
		row("to", "%q", s.object(s.To))
		row("moved", "%d of %d objects", s.Sent, s.Size)
	} else {
		row("size", "%s", sizeText(s.Size))
		row("sent", "%s", sizeText(s.Sent))
		row("on this disk", "%s", sizeText(s.Local))
	}
	row("reason", "%s", strings.ReplaceAll(s.Reason, "\n", "; "))
	row("replaces", "%s", s.Replaces)
	row("began as", "%s", s.Base)
	if !s.Created.IsZero() {
		row("begun", "%s", s.Created.Format(time.RFC3339))
	}
	for _, m := range s.Uploads {
		row("multipart upload", "%s, %d parts, begun %s, key %q", m.ID, len(m.Parts), m.Initiated.Format(time.RFC3339), m.Key)
	}
	row("mount", "%s", s.Mountpoint)
	row("kept in", "%s", s.Directory)
	return table.Flush()
}

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

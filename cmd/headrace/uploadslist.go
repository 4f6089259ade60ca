package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/headrace/headrace/upload"
	"github.com/headrace/headrace/upload/journal"
)

// unstored is one line of the list.
type unstored struct {
	upload.Status
	Mountpoint string `json:"mountpoint"`
	Mounted    bool   `json:"mounted"`
}

func (o uploadsOptions) list(ctx context.Context, where places) error {
	all, failure := where.status(ctx) // what was found is shown all the same
	where.tell(o.stderr)
	upload.SortStatus(all, func(one unstored) upload.Status { return one.Status })
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	for _, one := range all {
		var err error
		if o.json {
			err = json.NewEncoder(o.out).Encode(one)
		} else {
			_, err = fmt.Fprintln(table, one.line())
		}
		if err != nil {
			return err
		}
	}
	if len(all) == 0 && !o.json && failure == nil {
		fmt.Fprintf(o.stderr, "everything is stored (%s)\n", strings.Join(where.roots, ", "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return failure
}

// statusDeadline is for how long a mount may take to say what it has not stored, which it reads from its logs. One that
// hangs is said to.
const statusDeadline = 10 * time.Second

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
	ctx, cancel := context.WithTimeout(ctx, statusDeadline)
	defer cancel()
	if all, err = mount.status(ctx); err != nil { // its logs are there all the same
		left, failure := upload.StatusAt(d)
		return left, true, errors.Join(fmt.Errorf("the mount at %s: %w", d.Owner().Mountpoint, err), failure)
	}
	return all, true, nil
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

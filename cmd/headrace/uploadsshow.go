package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/headrace/headrace/upload/journal"
)

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

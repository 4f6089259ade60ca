package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/headrace/headrace/objstore/probe"
)

// powers says what the store can do: as it is probed now, in a bucket that was named for it, or was.
func (o doctorOptions) powers(ctx context.Context, store storeOptions, bucket examinedBucket, endpoint string) []finding {
	file := probeFile(endpoint)
	if o.probe && bucket.mayProbe {
		r, err := runProbe(ctx, store, bucket.name)
		if err != nil {
			return []finding{{"store can", warned, fmt.Sprintf("what this store can do was not found out: %v", err), forbiddenAdvice}}
		}
		all := judgePowers(r)
		if err := saveProbe(file, r); err != nil {
			all = append(all, finding{"store can", noted, fmt.Sprintf("this cannot be kept for later runs: %v", err), ""})
		}
		return all
	}
	r, err := loadProbe(file)
	switch {
	case errors.Is(err, errNoProbe):
		return []finding{{"store can", noted, "nobody has found out what this store can do", fmt.Sprintf("`headrace doctor --probe s3://%s` writes to objects of its own, and removes them", bucket.name)}}
	case err != nil:
		return []finding{{"store can", noted, fmt.Sprintf("what was found out before cannot be read: %v", err), fmt.Sprintf("`headrace doctor --probe s3://%s`", bucket.name)}}
	}
	return judgePowers(r)
}

// advice is what to do about it that a store lacks a power, and how bad that is.
var advice = map[string]struct {
	severity severity
	text     string
}{
	probe.Ranges:         {mistaken, "use another store: headrace reads by ranges"},
	probe.CreateOnly:     {warned, "have each new file written by one writer: of two, both may be told that they succeeded"},
	probe.ReplaceOnly:    {warned, "have each file written by one writer: what another has written in between may be overwritten"},
	probe.CompleteOnly:   {warned, "have each large file written by one writer: it is looked whether another has written it before it is put in place, and not while"},
	probe.CopyOnly:       {noted, "let nobody write where something is being renamed or migrated to: what is written there in that moment may be overwritten"},
	probe.CopyParts:      {warned, "write large files anew rather than change them, which sends all of it, and keep those above 5 GiB where they are: they cannot be renamed"},
	probe.Rename:         {noted, "give large files their names when they are written: renaming copies on the store's side"},
	probe.DeleteOnly:     {noted, "let nobody write to what is being renamed or migrated: what is written in the moment before a move removes its source is lost with it"},
	probe.ListOrder:      {noted, "keep directories small: large ones are listed by what comes, which costs memory"},
	probe.ListAfterWrite: {warned, "let other mounts wait for names: they appear late there"},
}

// forbiddenAdvice is what a probe needs.
const forbiddenAdvice = "the credentials need to put, list and delete objects named " + probe.Prefix + "..."

func judgePowers(r probe.Result) (all []finding) {
	when := r.At.Local().Format(time.DateTime)
	for _, a := range r.Answers {
		switch what := advice[a.Name]; {
		case a.Has:
			all = append(all, finding{"store can", fine, fmt.Sprintf("%s (probed %s)", a.Name, when), ""})
		case a.Unknown:
			todo := "try again with --probe"
			if a.Forbidden {
				todo = forbiddenAdvice
			}
			all = append(all, finding{"store can", warned, fmt.Sprintf("it was not found out whether it has %s (probed %s): %s", a.Name, when, a.Detail), todo})
		default:
			all = append(all, finding{"store cannot", what.severity, fmt.Sprintf("%s (probed %s): %s", a.Name, when, a.Detail), what.text})
		}
	}
	return all
}

// runProbe probes with the store's own rename tried, wherever it is: the objects are the probe's own.
func runProbe(ctx context.Context, store storeOptions, bucketName string) (r probe.Result, err error) {
	if store.renameObject.String() == "auto" {
		store.renameObject.value = "on"
	}
	store.layout = layoutOptions{}
	s, err := openStore(ctx, store, slog.New(slog.DiscardHandler))
	if err != nil {
		return r, err
	}
	defer func() { _ = s.close() }() // nothing waits in it
	b, err := s.bucket(ctx, bucketName, "")
	if err != nil {
		return r, err
	}
	if r, err = probe.Run(ctx, b, time.Now()); err == nil {
		r.Answers = append(r.Answers, probe.Answer{Name: "checksums of what is sent: " + s.client.Checksum(), Has: true})
	}
	return r, err
}

// probeFile is where what was found of an endpoint is kept; "" where there is no place.
func probeFile(endpoint string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	name := sha256.Sum256([]byte(endpoint))
	return filepath.Join(dir, "headrace", "probes", fmt.Sprintf("%x.json", name[:8]))
}

func loadProbe(file string) (r probe.Result, err error) {
	text, err := os.ReadFile(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return r, errNoProbe
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

func saveProbe(file string, r probe.Result) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file) // nobody reads half of it
}

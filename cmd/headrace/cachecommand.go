package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/cache/disk"
)

// cacheAction is what `headrace cache` does to a cache directory.
type cacheAction struct {
	usage    string
	patterns bool // it is done to the objects that are named, and to none otherwise
	do       func(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error
}

var cacheActions = map[string]cacheAction{
	"status": {usage: "how much is in it, and who uses it", do: cacheStatus},
	"ls":     {usage: "which objects are in it, and how much of each", do: cacheList},
	"verify": {usage: "compare with the checksums; what is wrong is dropped, and read from the store again", do: cacheVerify},
	"pin":    {usage: "keep the objects that match whatever else comes", patterns: true, do: cachePin(true)},
	"unpin":  {usage: "end that", patterns: true, do: cachePin(false)},
	"evict":  {usage: "give up the objects that match, but for what is being read", patterns: true, do: cacheEvict},
	"purge":  {usage: "give up everything, but for what is being read", do: cachePurge},
}

// cacheCommandOptions are what the command is told.
type cacheCommandOptions struct {
	json     bool
	dir      string
	patterns []string
	out      io.Writer
	stderr   io.Writer
}

func cacheCommand() *cli.Command {
	var o cacheCommandOptions
	return &cli.Command{
		Name:      "cache",
		Usage:     "look at and change what a cache directory holds",
		ArgsUsage: "ACTION DIR [PATTERN...]",
		Description: "Works on a cache directory, also while mounts use it. ACTION is\n\n" +
			"  status  " + cacheActions["status"].usage + "\n" +
			"  ls      " + cacheActions["ls"].usage + "\n" +
			"  verify  " + cacheActions["verify"].usage + "\n" +
			"  pin     " + cacheActions["pin"].usage + "\n" +
			"  unpin   " + cacheActions["unpin"].usage + "\n" +
			"  evict   " + cacheActions["evict"].usage + "\n" +
			"  purge   " + cacheActions["purge"].usage + "\n\n" +
			"PATTERN is s3://BUCKET/KEY, in which * and ? stand for anything but a slash; one that ends in a slash stands for all below it. " +
			"ls and verify take all objects when there is none.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", EnvVars: environment("json"), Destination: &o.json, Usage: "print JSON, one document a line"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() < 2 {
				return usage("cache takes an action and a directory: headrace cache status DIR")
			}
			action, ok := cacheActions[c.Args().First()]
			if !ok {
				return usage("unknown action %q: `headrace cache --help` lists them", c.Args().First())
			}
			o.dir = c.Args().Get(1)
			o.patterns, o.out, o.stderr = c.Args().Slice()[2:], c.App.Writer, c.App.ErrWriter
			if err := o.check(c.Args().First(), action); err != nil {
				return err
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			return o.run(ctx, action, o.dir)
		},
	}
}

func (o cacheCommandOptions) check(name string, action cacheAction) error {
	if action.patterns && len(o.patterns) == 0 {
		return usage("cache %s says which objects: headrace cache %s DIR s3://BUCKET/PREFIX/", name, name)
	}
	for _, p := range o.patterns {
		if _, err := path.Match(p, ""); err != nil || !strings.HasPrefix(p, "s3://") {
			return usage("%q is not a pattern of objects: write it as s3://BUCKET/KEY", p)
		}
	}
	return nil
}

// run takes the directory, or asks its owner, and gives it back.
func (o cacheCommandOptions) run(ctx context.Context, action cacheAction, dir string) (err error) {
	d, err := openCacheDirectory(dir)
	if err != nil {
		return explainCache(err, dir)
	}
	defer func() {
		if closing := d.Close(); err == nil && closing != nil {
			err = fail(exitCache, closing, "%s: %v", dir, closing)
		}
	}()
	return action.do(ctx, d, o)
}

// matches tells whether the command is about an object.
func (o cacheCommandOptions) matches(e disk.Entry) bool {
	name := objectURL(e)
	for _, p := range o.patterns {
		if ok, _ := path.Match(p, name); ok || strings.HasSuffix(p, "/") && strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(o.patterns) == 0
}

func objectURL(e disk.Entry) string { return "s3://" + e.Version.Bucket + "/" + e.Version.Key }

// each calls f for the objects that the command is about, until ctx ends.
func (o cacheCommandOptions) each(ctx context.Context, d cacheDirectory, f func(disk.Entry) error) error {
	for e, err := range d.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && o.matches(e) {
			err = f(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// say prints one result, as JSON or as text.
func (o cacheCommandOptions) say(result any, format string, args ...any) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(result)
	}
	_, err := fmt.Fprintf(o.out, format+"\n", args...)
	return err
}

func sizeText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func cacheList(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error {
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	err := o.each(ctx, d, func(e disk.Entry) error {
		if o.json {
			return o.say(struct {
				Object  string `json:"object"`
				ETag    string `json:"etag"`
				Size    int64  `json:"size_bytes"`
				Present int64  `json:"present_bytes"`
				Pinned  bool   `json:"pinned"`
			}{objectURL(e), e.Version.ETag, e.Version.Size, e.Present, e.Pinned}, "")
		}
		pinned := ""
		if e.Pinned {
			pinned = "pinned"
		}
		_, err := fmt.Fprintf(table, "%s of %s\t%s\t %q\n", sizeText(e.Present), sizeText(e.Version.Size), pinned, objectURL(e))
		return err
	})
	if flushed := table.Flush(); err == nil {
		err = flushed
	}
	return err
}

func cacheVerify(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error {
	s, err := d.Stats()
	if err != nil {
		return err
	}
	bar := newBar(o.stderr, s.Used, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true)) // of all; where patterns say which, it ends early
	objects, damaged, bad := 0, 0, 0
	err = o.each(ctx, d, func(e disk.Entry) error {
		n, err := d.Verify(ctx, e.Version)
		objects++
		_ = bar.Add64(e.Present)
		if bad += n; n > 0 {
			damaged++
		}
		return err
	})
	_ = bar.Finish()
	if err != nil {
		return err
	}
	result := map[string]int{"objects": objects, "damaged_objects": damaged, "dropped_blocks": bad}
	if err := o.say(result, "%d objects compared; %d damaged, of which %d blocks were dropped", objects, damaged, bad); err != nil {
		return err
	}
	if bad > 0 {
		return fail(exitFailure, nil, "the cache had %d damaged blocks; they are dropped, and are read from the store again", bad)
	}
	return nil
}

func cachePin(pinned bool) func(context.Context, cacheDirectory, cacheCommandOptions) error {
	return func(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error {
		n := 0
		err := o.each(ctx, d, func(e disk.Entry) error {
			n++
			return d.Pin(e.Version, pinned)
		})
		if err != nil {
			return err
		}
		return o.say(map[string]int{"objects": n}, "%d objects", n)
	}
}

func cacheEvict(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error {
	objects, bytes := 0, int64(0)
	err := o.each(ctx, d, func(e disk.Entry) error {
		n, err := d.Evict(e.Version)
		objects++
		bytes += n
		return err
	})
	if err != nil {
		return err
	}
	return o.say(map[string]int64{"objects": int64(objects), "bytes": bytes}, "%d objects, %s", objects, sizeText(bytes))
}

// cachePurge gives up names as well, which no pattern is about.
func cachePurge(ctx context.Context, d cacheDirectory, o cacheCommandOptions) error {
	if err := cacheEvict(ctx, d, o); err != nil || len(o.patterns) > 0 {
		return err
	}
	return purgeNames(o.dir)
}

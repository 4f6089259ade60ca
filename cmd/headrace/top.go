package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
)

const (
	// topInterval is how often `headrace top` looks when nothing else is said: as top(1) of old, and often enough to see a
	// stream stall.
	topInterval = time.Second
	// home takes a terminal's cursor to the top left, and clears what is below.
	home = "\x1b[H\x1b[J"
)

func topCommand() *cli.Command {
	var interval time.Duration
	var rounds int
	return &cli.Command{
		Name:      "top",
		Usage:     "show what mounts are doing, again and again",
		ArgsUsage: "[DIR...]",
		Description: "Shows what the mounts at DIR, or all there are, read, write and ask of the store, a second. Ctrl-C ends it. What the kernel has in its pages, or reads from the " +
			"cache disk by itself, is not seen.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", EnvVars: environment("interval"), Destination: &interval, Value: topInterval, Usage: "look each `DURATION`"},
			&cli.IntFlag{Name: "rounds", EnvVars: environment("rounds"), Destination: &rounds, Usage: "end after `N` tables", DefaultText: "until Ctrl-C"},
		},
		Action: func(c *cli.Context) error {
			if interval <= 0 || rounds < 0 {
				return usage("--interval is a time, as 2s, and --rounds a number")
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			return top(ctx, c.App.Writer, c.Args().Slice(), interval, rounds)
		},
	}
}

// top prints a table each interval, so many times, or until ctx ends. On a terminal each takes the place of the one
// before.
func top(ctx context.Context, w io.Writer, dirs []string, interval time.Duration, rounds int) error {
	before, err := statusOf(dirs)
	if err != nil && len(before) == 0 {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for at, n := time.Now(), 0; rounds == 0 || n < rounds; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, _ := statusOf(dirs) // who does not answer is in the table
		if isTerminal(w) {
			fmt.Fprint(w, home)
		}
		passed := time.Since(at)
		at = time.Now()
		if err := writeTop(w, before, now, passed); err != nil {
			return err
		}
		before = now
	}
	return nil
}

// writeTop writes what mounts have done between two looks at them.
func writeTop(w io.Writer, before, now []mountStatus, passed time.Duration) error {
	last := make(map[string]mountStatus)
	for _, m := range before {
		last[m.Mountpoint] = m
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "read/s\tstore/s\tdisk/s\twritten/s\tsent/s\trequests/s\tfailed\tin flight\tunstored\t mount")
	for _, m := range now {
		if m.Error != "" {
			fmt.Fprintf(table, "-\t-\t-\t-\t-\t-\t-\t-\t-\t %s: %s\n", m.Mountpoint, m.Error)
			continue
		}
		b := last[m.Mountpoint]
		if b.PID != m.PID || !b.Started.Equal(m.Started) { // another one, which has begun to count anew
			b = m
		}
		each := func(now, before int64) string { return sizeText(int64(float64(now-before) / passed.Seconds())) }
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.0f\t%d\t%s\t%d\t %s\n",
			each(m.Read, b.Read), each(m.Fetched, b.Fetched), each(m.Local, b.Local), each(m.Written, b.Written), each(m.Sent, b.Sent),
			float64(m.Requests-b.Requests)/passed.Seconds(), m.Failed-b.Failed, strconv.Itoa(m.InFlight)+"/"+strconv.Itoa(m.Limit), m.Unstored, m.Mountpoint)
	}
	return table.Flush()
}

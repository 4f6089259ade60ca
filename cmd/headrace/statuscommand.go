package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/fs"
)

func statusCommand() *cli.Command {
	var inJSON bool
	return &cli.Command{
		Name:      "status",
		Usage:     "show how mounts are doing",
		ArgsUsage: "[DIR...]",
		Description: "Asks the mounts at DIR, or all there are, what they have read, written and asked of the store since they started, and what they hold. " +
			"One that does not answer is said to, and the exit code is 10.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", EnvVars: environment("json"), Destination: &inJSON, Usage: "print JSON, one document a line"},
		},
		Action: func(c *cli.Context) error {
			all, failure := statusOf(c.Args().Slice())
			for i, m := range all {
				var err error
				switch {
				case inJSON:
					err = json.NewEncoder(c.App.Writer).Encode(m)
				default:
					if i > 0 {
						fmt.Fprintln(c.App.Writer)
					}
					err = m.write(c.App.Writer, time.Now())
				}
				if err != nil {
					return err
				}
			}
			if len(all) == 0 && failure == nil {
				fmt.Fprintln(c.App.ErrWriter, "nothing is mounted")
			}
			return failure
		},
	}
}

// statusOf asks the mounts at dirs, or all there are. Those that could not be asked have an Error, and the error names
// them.
func statusOf(dirs []string) (all []mountStatus, err error) {
	if len(dirs) == 0 {
		dirs, err = mountpoints()
	} else {
		dirs, err = absolute(dirs)
	}
	if err != nil {
		return nil, err
	}
	var silent []string
	for i, a := range askMounts(dirs, fs.StatusAttribute) {
		m := mountStatus{}
		if a.err == nil {
			a.err = json.Unmarshal([]byte(a.value), &m)
		}
		if a.err != nil {
			m = mountStatus{Error: explainStatus(a.err)}
			silent = append(silent, dirs[i]+": "+m.Error)
		}
		m.Mountpoint = dirs[i]
		all = append(all, m)
	}
	if len(silent) > 0 {
		return all, fail(exitPartial, errSilent, "not all could be asked: %s", strings.Join(silent, "; "))
	}
	return all, nil
}

func absolute(dirs []string) ([]string, error) {
	all := make([]string, len(dirs))
	for i, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, fail(exitFailure, err, "%s: %v", dir, err)
		}
		all[i] = path
	}
	return all, nil
}

// explainStatus says why a mount did not say how it is.
func explainStatus(err error) string {
	switch {
	case errors.Is(err, errSilent):
		return "it does not answer: is its process stopped?"
	case errors.Is(err, unix.ENOTCONN):
		return "its process is dead: `headrace umount` removes it"
	case errors.Is(err, unix.EACCES):
		return "it is somebody else's"
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return "it is no mount of headrace, or one of a version that does not tell"
	}
	return err.Error()
}

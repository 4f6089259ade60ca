package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/headrace/headrace/fs"
	"github.com/urfave/cli/v2"
)

func umountCommand() *cli.Command {
	var lazy bool
	return &cli.Command{
		Name:      "umount",
		Usage:     "unmount a directory, also one whose process is dead",
		ArgsUsage: "DIR",
		Description: "Unmounts DIR, waits until what was written to it is stored and its process has ended, and says how far that is; Ctrl-C ends the waiting, not the storing. " +
			"When something still uses the mount, it says who. " +
			"A mount whose process is dead (\"Transport endpoint is not connected\") is removed in the same way.",
		Flags: []cli.Flag{
			&cli.BoolFlag{
				Name: "lazy", Aliases: []string{"l"}, EnvVars: environment("lazy"), Destination: &lazy,
				Usage: "take the directory away now and let those who still use the mount finish",
			},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage("umount takes one directory: headrace umount DIR")
			}
			ctx, stop := untilTold(c.Context)
			defer stop()
			return umount(ctx, c.Args().First(), lazy, c.App.ErrWriter)
		},
	}
}

// umount removes the mount at dir. Lazily means: the name goes at once, the file system when its last user does.
func umount(ctx context.Context, dir string, lazy bool, stderr io.Writer) error {
	resolved, err := resolveMountpoint(dir)
	if err != nil {
		return fail(exitMountpoint, err, "cannot use %s: %v", dir, err)
	}
	mounted, err := mountAt(resolved)
	switch {
	case err != nil:
		return fail(exitFailure, err, "cannot read the list of mounts: %v", err)
	case mounted == nil:
		return fail(exitMountpoint, nil, "nothing is mounted at %s: `grep headrace /proc/mounts` shows what is", dir)
	case mounted.FSType != fuseType:
		return fail(exitMountpoint, nil, "%s is a mount of type %s, not one of headrace: use umount", dir, mounted.FSType)
	}
	var end *ending
	silent := false
	if !lazy {
		staging, err := askMount(resolved, fs.StagingAttribute)
		silent = errors.Is(err, errSilent)
		end = watchEnding(ctx, staging, stderr)
	}
	switch err := fs.Unmount(resolved, lazy); {
	case err == nil && silent:
		return fail(exitBusy, nil, "unmounted, but the mount did not answer (is its process stopped?): whether all is stored is not known. `headrace uploads ls` shows what is not")
	case err == nil:
		return end.wait(ctx)
	case errors.Is(err, syscall.EBUSY) && silent: // at least by the question
		return fail(exitBusy, err, "the mount at %s does not answer, and is not unmounted: let its process go on if it is stopped (`kill -CONT` and its pid, which `pgrep -a headrace` shows), or use --lazy", dir)
	case errors.Is(err, syscall.EBUSY):
		return fail(exitBusy, err, "%s is in use: %s. End them, or use --lazy", dir, describeHolders(os.DirFS("/proc"), mounted))
	case errors.Is(err, os.ErrPermission):
		return fail(exitFailure, err, "not allowed to unmount %s: only root and who mounted it may", dir)
	default:
		return fail(exitFailure, err, "cannot unmount %s: %v", dir, err)
	}
}

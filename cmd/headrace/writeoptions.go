package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/upload/journal"
)

// writeOptions say where what is written waits until it is stored, and what close(2) waits for.
type writeOptions struct {
	dir             string
	size            size
	writeBack       bool
	closeTimeout    interval
	exclusiveCreate choice
	keepRemoved     size
}

const writeGroup = "Writing"

const (
	// minStaging is the least that lets a file of more than one part through.
	minStaging = 256 * mib
	// stagingShare is the part of the disk's free space that is used where nothing is said: half.
	stagingShare = 2
	// defaultCloseTimeout is for how long close(2) waits for a store that takes nothing.
	defaultCloseTimeout = interval(10 * time.Minute)
	// defaultKeepRemoved is how much of an open file is fetched before its object is removed.
	defaultKeepRemoved = 1 * gib
)

func (o *writeOptions) flags() []cli.Flag {
	o.closeTimeout, o.keepRemoved = defaultCloseTimeout, defaultKeepRemoved
	o.exclusiveCreate = oneOf("close", "open")
	return []cli.Flag{
		&cli.StringFlag{
			Name: "staging-dir", Category: writeGroup, EnvVars: environment("staging-dir"), Destination: &o.dir, DefaultText: "in the cache directory, else in /var/cache/headrace or the user's cache directory",
			Usage: "keep in `DIR` what was written and is not stored yet",
		},
		&cli.GenericFlag{
			Name: "staging-size", Category: writeGroup, EnvVars: environment("staging-size"), Value: &o.size, DefaultText: "half of what is free there",
			Usage: "the `SIZE` that staging files may have together; who writes faster than the store takes it waits there",
		},
		&cli.BoolFlag{
			Name: "write-back", Category: writeGroup, EnvVars: environment("write-back"), Destination: &o.writeBack,
			Usage: "close and fsync return when the data is safe on the local disk; the store gets it afterwards, also after a crash",
		},
		&cli.GenericFlag{
			Name: "close-timeout", Category: writeGroup, EnvVars: environment("close-timeout"), Value: &o.closeTimeout,
			Usage: "close and fsync fail after this `DURATION` without progress; the data stays and goes on being tried",
		},
		&cli.GenericFlag{
			Name: "exclusive-create", Category: writeGroup, EnvVars: environment("exclusive-create"), Value: &o.exclusiveCreate,
			Usage: "`WHEN` it is decided who of several machines has made a file with O_EXCL: at close, or at open by an empty object, as lock files need",
		},
		&cli.GenericFlag{
			Name: "keep-removed", Category: writeGroup, EnvVars: environment("keep-removed"), Value: &o.keepRemoved,
			Usage: "fetch up to this `SIZE` of a file that is open when it is removed or replaced, so that it can be read on",
		},
	}
}

func (o *writeOptions) resolve() (err error) {
	if o.size != 0 && o.size < minStaging {
		return usage("--staging-size %s: at least 256MiB are needed", o.size.String())
	}
	if o.dir != "" {
		o.dir, err = filepath.Abs(o.dir)
	}
	return err
}

// place is where the staging files go.
func (o *writeOptions) place(cacheDir string) (string, error) {
	switch {
	case o.dir != "":
		return o.dir, nil
	case cacheDir != "":
		return filepath.Join(cacheDir, "staging"), nil
	case os.Geteuid() == 0:
		return "/var/cache/headrace/staging", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fail(exitStaging, err, "there is no place for what is written: give --staging-dir DIR, or --read-only")
	}
	return filepath.Join(dir, "headrace", "staging"), nil
}

// limit is how many bytes the staging files may have.
func (o *writeOptions) limit(dir string) (int64, error) {
	if o.size != 0 {
		return int64(o.size), nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return max(int64(fs.Bavail)*fs.Bsize/stagingShare, minStaging), nil
}

// open takes a subdirectory of the staging directory for one mount.
func (o *writeOptions) open(cacheDir string, owner journal.Owner, log *slog.Logger) (*journal.Dir, int64, error) {
	root, err := o.place(cacheDir)
	if err != nil {
		return nil, 0, err
	}
	dir, err := journal.Create(root, owner)
	if err != nil {
		return nil, 0, explainStaging(err, root)
	}
	limit, err := o.limit(root)
	if err != nil {
		return nil, 0, errors.Join(explainStaging(err, root), dir.Close())
	}
	log.Info("staging", "dir", root, "limit", limit, "write_back", o.writeBack)
	return dir, limit, nil
}

// explainStaging says what is wrong with a staging directory and what to do.
func explainStaging(err error, dir string) error {
	const instead = "choose another with --staging-dir, or mount with --read-only"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fail(exitStaging, err, "what is written cannot be kept in %s: permission denied: %s", dir, instead)
	case errors.Is(err, syscall.EROFS):
		return fail(exitStaging, err, "what is written cannot be kept in %s: it is on a read-only file system: %s", dir, instead)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(exitStaging, err, "what is written cannot be kept in %s: the disk is full: free some space, or %s", dir, instead)
	}
	return fail(exitStaging, err, "what is written cannot be kept in %s: %v: %s", dir, err, instead)
}

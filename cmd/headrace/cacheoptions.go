package main

import (
	"errors"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/cache/share"
)

// cacheOptions say where on a local disk chunks are kept, and how much of it they may take.
type cacheOptions struct {
	dir     string
	size    size
	minFree size

	passthrough choice
	policy      choice
}

const cacheGroup = "Disk cache"

// minCacheSize is the least that is worth a directory: a few chunks.
const minCacheSize = 64 * mib

func (o *cacheOptions) flags() []cli.Flag {
	o.passthrough = oneOf("auto", "off")
	o.policy = oneOf("auto", "all", "small", "none")
	return []cli.Flag{
		&cli.StringFlag{
			Name: "cache-dir", Category: cacheGroup, EnvVars: environment("cache-dir"), Destination: &o.dir,
			Usage: "keep what was read in `DIR`, on an NVMe disk of this machine, also after a restart; an empty or missing directory, or a cache, which mounts may share",
		},
		&cli.GenericFlag{
			Name: "cache-size", Category: cacheGroup, EnvVars: environment("cache-size"), Value: &o.size, DefaultText: "as before, at first 80% of what is free",
			Usage: "the `SIZE` that the cache may have on the disk, which is never exceeded",
		},
		&cli.GenericFlag{
			Name: "cache-min-free", Category: cacheGroup, EnvVars: environment("cache-min-free"), Value: &o.minFree, DefaultText: "5% of the disk",
			Usage: "the `SIZE` that the cache leaves free on the disk, giving up what it has if others fill it",
		},
		&cli.GenericFlag{
			Name: "passthrough", Category: cacheGroup, EnvVars: environment("passthrough"), Value: &o.passthrough,
			Usage: "`MODE` auto lets the kernel read files by itself that the cache has as a whole, where it can; off has it always ask the daemon",
		},
		&cli.GenericFlag{
			Name: "cache-policy", Category: cacheGroup, EnvVars: environment("cache-policy"), Value: &o.policy,
			Usage: "what of the bytes read is kept: all; small objects (4 MB and less); none; auto is all, but behind CoreWeave's LOTA, which serves larger objects faster than a disk takes them, small objects and what is fetched again",
		},
	}
}

func (o *cacheOptions) resolve() (err error) {
	switch {
	case o.dir == "" && (o.size != 0 || o.minFree != 0):
		return usage("--cache-size and --cache-min-free say how much of --cache-dir may be used: give that too")
	case o.dir != "" && o.size != 0 && o.size < minCacheSize:
		return usage("--cache-size %s: at least 64MiB are needed", o.size.String())
	}
	if o.dir != "" {
		o.dir, err = filepath.Abs(o.dir)
	}
	return err
}

// queueShare is the part of the memory that may wait to be written to the disk: an eighth. It is pinned meanwhile.
const queueShare = 8

// open takes the cache directory for who mounts name, or shares it with those who have it.
func (o *cacheOptions) open(name string, memory size, log *slog.Logger) (*share.Member, error) {
	member, err := share.Open(share.Config{Name: name, Disk: disk.Config{
		Dir: o.dir, Size: int64(o.size), MinFree: int64(o.minFree), Queue: int64(memory) / queueShare, Log: log,
	}})
	return member, explainCache(err, o.dir)
}

// explainCache says what is wrong with a cache directory and what to do.
func explainCache(err error, dir string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, share.ErrNoAnswer):
		return fail(exitCache, err, "%s is in use by a process that does not answer: try again, or unmount it first: %v", dir, err)
	case errors.Is(err, disk.ErrNotOurs):
		return fail(exitCache, err, "--cache-dir %s belongs to another user: choose a directory of your own", dir)
	case errors.Is(err, disk.ErrTooOpen):
		return fail(exitCache, err, "--cache-dir %s can be read by other users, and holds what only your credentials may read: `chmod 700 %s`", dir, dir)
	case errors.Is(err, disk.ErrNotEmpty):
		return fail(exitCache, err, "--cache-dir %s has files in it that are not a cache's: choose an empty or a missing directory", dir)
	case errors.Is(err, disk.ErrNoHoles):
		return fail(exitCache, err, "--cache-dir %s is on a file system that cannot give back a part of a file, as a cache must: use one on ext4, XFS, Btrfs or tmpfs", dir)
	case errors.Is(err, disk.ErrDamaged):
		return fail(exitCache, err, "the index of %s is damaged: the next mount that uses it has it start empty: %v", dir, err)
	case errors.Is(err, os.ErrNotExist):
		return fail(exitCache, err, "%s is not a cache directory: name the one given to --cache-dir", dir)
	case errors.Is(err, os.ErrPermission):
		return fail(exitCache, err, "--cache-dir %s: permission denied: choose a directory that you may write to", dir)
	case errors.Is(err, syscall.EROFS):
		return fail(exitCache, err, "--cache-dir %s is on a read-only file system: choose another", dir)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(exitCache, err, "--cache-dir %s: the disk is full: free some space or choose another", dir)
	case errors.Is(err, syscall.ENOTDIR):
		return fail(exitCache, err, "--cache-dir %s is not a directory, or a link to one: name the directory itself", dir)
	}
	return fail(exitCache, err, "--cache-dir %s cannot be used: %v", dir, err)
}

// readerOf stands in the cache for the credentials behind an access key's id: only they get what they brought without
// the store's being asked again.
func readerOf(endpoint, identity string) uint64 {
	h := fnv.New64a()
	for _, s := range []string{endpoint, "\x00", identity} {
		_, _ = h.Write([]byte(s)) // never fails
	}
	return h.Sum64()
}

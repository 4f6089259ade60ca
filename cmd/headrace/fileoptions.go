package main

import (
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// fileOptions say how files look to the users of the machine.
type fileOptions struct {
	buckets    cli.StringSlice
	readOnly   bool
	uid, gid   uint
	fileMode   permissions
	dirMode    permissions
	posix      bool
	allowOther bool

	names []string // what buckets says, set by resolve
}

const fileGroup = "Files"

const (
	defaultFileMode permissions = 0o644
	defaultDirMode  permissions = 0o755
)

func (o *fileOptions) flags() []cli.Flag {
	o.fileMode, o.dirMode = defaultFileMode, defaultDirMode
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "bucket", Category: fileGroup, EnvVars: environment("bucket"), Destination: &o.buckets,
			Usage: "with s3://, show the bucket `NAME`; repeat for more; without the flag, all that can be listed",
		},
		&cli.BoolFlag{
			Name: "read-only", Category: fileGroup, EnvVars: environment("read-only"), Destination: &o.readOnly,
			Usage: "refuse every change with EROFS; without credentials this is so in any case",
		},
		&cli.UintFlag{
			Name: "uid", Category: fileGroup, EnvVars: environment("uid"), Destination: &o.uid, Value: uint(os.Getuid()), DefaultText: "who mounts",
			Usage: "owner of all files, a numeric `ID`",
		},
		&cli.UintFlag{
			Name: "gid", Category: fileGroup, EnvVars: environment("gid"), Destination: &o.gid, Value: uint(os.Getgid()), DefaultText: "of who mounts",
			Usage: "group of all files, a numeric `ID`",
		},
		&cli.GenericFlag{
			Name: "file-mode", Category: fileGroup, EnvVars: environment("file-mode"), Value: &o.fileMode,
			Usage: "permission bits of files, `OCTAL`",
		},
		&cli.GenericFlag{
			Name: "dir-mode", Category: fileGroup, EnvVars: environment("dir-mode"), Value: &o.dirMode,
			Usage: "permission bits of directories, `OCTAL`",
		},
		&cli.BoolFlag{
			Name: "posix-metadata", Category: fileGroup, EnvVars: environment("posix-metadata"), Destination: &o.posix,
			Usage: "keep modes, owners, times, symbolic links and attributes (user.*) in the objects' metadata, as s3fs does; each name looked up costs a request",
		},
		&cli.BoolFlag{
			Name: "allow-other", Category: fileGroup, EnvVars: environment("allow-other"), Destination: &o.allowOther,
			Usage: "let other users in, as far as owner and modes allow; needs root or user_allow_other in /etc/fuse.conf",
		},
	}
}

func (o *fileOptions) resolve(src source) error {
	const largestID = 1<<32 - 2 // the kernel's ids have 32 bits, and the largest means "none"
	if o.uid > largestID || o.gid > largestID {
		return usage("--uid and --gid are at most %d", uint(largestID))
	}
	for _, given := range o.buckets.Value() {
		o.names = append(o.names, strings.Split(given, ",")...) // the environment has one variable for all
	}
	if len(o.names) > 0 && !src.all() {
		return usage("--bucket goes with s3:// alone: %s names its bucket already", src)
	}
	return nil
}

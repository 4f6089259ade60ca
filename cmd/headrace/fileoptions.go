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
	uid, gid   ownerID
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
	o.uid, o.gid = ownerID(os.Getuid()), ownerID(os.Getgid())
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "bucket", Category: fileGroup, EnvVars: environment("bucket"), Destination: &o.buckets,
			Usage: "with s3://, show the bucket `NAME`; repeat for more; without the flag, all that can be listed",
		},
		&cli.BoolFlag{
			Name: "read-only", Category: fileGroup, EnvVars: environment("read-only"), Destination: &o.readOnly,
			Usage: "refuse every change with EROFS; without credentials this is so in any case",
		},
		&cli.GenericFlag{
			Name: "uid", Category: fileGroup, EnvVars: environment("uid"), Value: &o.uid, DefaultText: "who mounts",
			Usage: "owner of all files, a numeric `ID`",
		},
		&cli.GenericFlag{
			Name: "gid", Category: fileGroup, EnvVars: environment("gid"), Value: &o.gid, DefaultText: "of who mounts",
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
	for _, given := range o.buckets.Value() {
		o.names = append(o.names, strings.Split(given, ",")...) // the environment has one variable for all
	}
	if len(o.names) > 0 && !src.all() {
		return usage("--bucket goes with s3:// alone: %s names its bucket already", src)
	}
	return nil
}

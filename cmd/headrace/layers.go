package main

import (
	"log/slog"
	"time"

	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore/s3store"
)

// What the flags mean to each layer.

// config is the store's share.
func (o storeOptions) config(log *slog.Logger) s3store.Config {
	return s3store.Config{
		Endpoint:      o.endpoint,
		Region:        o.region,
		Profile:       o.profile,
		AccessKey:     o.accessKey,
		SecretKey:     o.secretKey,
		PathStyle:     o.addressing,
		NoSignRequest: o.noSignRequest,
		RequesterPays: o.requesterPays,
		RenameObject:  o.renames(),
		MaxConns:      o.maxConcurrency,
		UserAgent:     "headrace/" + versionText(),
		Log:           log,
	}
}

// config is the file system's share, less what is mounted.
func (o fileOptions) config(read readOptions) fs.Config {
	mode := fs.ReadCached
	if read.readMode.value == "direct" {
		mode = fs.ReadDirect
	}
	return fs.Config{
		MetadataTTL:   time.Duration(read.metadataTTL),
		Immutable:     read.immutable,
		PosixMetadata: o.posix,

		UID:      uint32(o.uid),
		GID:      uint32(o.gid),
		FileMode: uint32(o.fileMode),
		DirMode:  uint32(o.dirMode),
		ReadMode: mode,
	}
}

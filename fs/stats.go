package fs

import (
	"sync/atomic"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/prefetch"
)

// Stats are totals since the mount, and what is held now.
type Stats struct {
	Nodes int // node ids the kernel may use
	Files int // open file handles
	Dirs  int // open directory handles
	Locks int // paths on which somebody holds a lock

	Lookups     int64 // names asked for
	Opens       int64 // files opened
	Passthrough int64 // of these, those that the kernel reads from a local file
	Reads       int64 // READ requests answered with data, which the kernel's pages did not answer
	ReadBytes   int64 // bytes they returned
	Writes      int64 // WRITE requests
	WriteBytes  int64 // bytes they brought
	DirEntries  int64 // names returned by readdir
	Stale       int64 // times a version was found replaced, at open, at stat or while it was read
	Interrupted int64 // requests given up because the caller was killed
	Errors      int64 // requests answered with an errno that is logged: EIO, EACCES and the like

	Siblings  prefetch.SiblingsStats // files brought ahead of their opening
	Foresight names.ForesightStats   // directories listed ahead of their readers
}

// counters are the totals of Stats.
type counters struct {
	lookups, opens, passthrough, reads, readBytes, writes, writeBytes, dirEntries, stale, interrupted, errors atomic.Int64
}

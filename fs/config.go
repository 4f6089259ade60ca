package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
)

// Volumes are the buckets of a mount that shows several, each as a directory of the root.
type Volumes interface {
	// List names them, in any order.
	List(ctx context.Context) ([]string, error)
	// Open makes one usable. ErrNotExist when there is no such bucket. It is called again after an error.
	Open(ctx context.Context, name string) (objstore.Bucket, error)
}

// Shelf keeps listings of directories across restarts.
type Shelf = names.Shelf

// ReadMode says whether the kernel keeps pages of what is read.
type ReadMode int

const (
	// ReadCached lets the kernel keep pages: read again costs the process nothing, and mmap is at its best.
	ReadCached ReadMode = iota
	// ReadDirect copies from this process straight to the reader, for programs that read once, in pieces of 256 KiB and
	// more: it takes the reader down from 0.43 to 0.1 s of CPU a GiB there, and costs a request for every read(2).
	ReadDirect
)

// String is the mode as it stands in flags.
func (m ReadMode) String() string {
	if m == ReadDirect {
		return "direct"
	}
	return "cached"
}

// Config says what a mount shows and how.
type Config struct {
	// Bucket and Prefix are what is shown: the keys below Prefix, which is empty or ends in "/". With Volumes, which
	// shows several buckets, both are left out.
	Bucket  objstore.Bucket
	Prefix  string
	Volumes Volumes

	// Shelf keeps a bucket's listings across restarts; nil for none, and nil itself where no bucket has one.
	Shelf func(objstore.Bucket) Shelf

	// Files brings the bytes. Required.
	Files *prefetch.Prefetcher

	// Spare is where files of a directory are brought ahead of their opening when others of it are opened one after
	// another. nil means nowhere.
	Spare prefetch.Spare

	// Cached tells how many bytes of a version are held locally, for the attribute user.headrace.cached. nil means that
	// there is no such attribute.
	Cached func(objstore.Version) int64

	// Lease gives all bytes of a version in a local file that is exactly as long, so that the kernel can read it without
	// this process; ok is false when there is none, and release, called exactly once, ends its use. nil means that there
	// never is.
	Lease func(objstore.Version) (file *os.File, release func(), ok bool)

	// Keep has a version be kept on the local disk, and tells how that goes, for the attribute user.headrace.keep; nil for
	// no such attribute. It must not block.
	Keep func(objstore.Version) Keeping

	// Store is how a program reaches what is mounted without the mount, for the attribute user.headrace.store. "" for no
	// such attribute.
	Store string

	// Status is how the mount is doing, for the attribute user.headrace.status; nil, and "", for no such attribute. It
	// must not block.
	Status func() string

	// Uploads takes what is written. nil means that the mount is read-only.
	Uploads *upload.Uploads

	// ExclusiveAtOpen has a file that is opened with O_CREAT and O_EXCL be made in the store, empty, before open returns:
	// for lock files that machines share. Else it is decided when the file is closed who has made it.
	ExclusiveAtOpen bool

	// KeepRemoved is how much of a file that is open while it is removed, or replaced by another, is fetched to be read
	// on, in bytes. Of more, reads fail afterwards.
	KeepRemoved int64

	// MetadataTTL is for how long an answer of the store is believed. 0 means that it is asked every time.
	MetadataTTL time.Duration

	// Immutable promises that what was once seen never changes. "Not found" still ages by MetadataTTL.
	Immutable bool

	// PosixMetadata has modes, owners, times, extended attributes and symbolic links be kept in the metadata of objects,
	// in the form of package posixmeta. It costs a HEAD for each name that is looked up, within the TTL.
	PosixMetadata bool

	// UID and GID own everything.
	UID, GID uint32

	// FileMode and DirMode are permission bits. 0 means 0o644 and 0o755.
	FileMode, DirMode uint32

	// ReadMode is for files opened without O_DIRECT, which is always direct.
	ReadMode ReadMode

	// Now is the clock. nil means time.Now.
	Now func() time.Time

	// Log gets what was answered with an errno that explains nothing. nil means that nobody wants to know.
	Log *slog.Logger
}

// permissionBits are what a mode may say: set-user-id and the like are for whom one trusts, not for keys in a bucket.
const permissionBits = 0o777

func (c *Config) validate() error {
	switch {
	case (c.Bucket == nil) == (c.Volumes == nil):
		return errors.New("fs: either a bucket or volumes are needed")
	case c.Volumes != nil && c.Prefix != "":
		return errors.New("fs: a prefix is of one bucket, and several are to be shown")
	case c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/"):
		return fmt.Errorf("fs: prefix %q does not end in a slash", c.Prefix)
	case c.Files == nil:
		return errors.New("fs: no prefetcher")
	case c.MetadataTTL < 0:
		return fmt.Errorf("fs: metadata TTL of %v", c.MetadataTTL)
	case (c.FileMode|c.DirMode)&^permissionBits != 0:
		return fmt.Errorf("fs: modes %#o and %#o have more than permission bits", c.FileMode, c.DirMode)
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.FileMode == 0 {
		c.FileMode = 0o644
	}
	if c.DirMode == 0 {
		c.DirMode = 0o755
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// refuses tells whether the modes refuse reading to somebody who can reach the mount at all. Where they refuse nobody,
// the kernel need not check them, and then it does not ask for attributes before each open: an open of a
// small file whose last check is older than the TTL is one GET, and would be a HEAD and a GET.
func (c *Config) refuses(allowOther bool) bool {
	if c.PosixMetadata { // each file has a mode of its own
		return true
	}
	const (
		readAll, searchAll   = 0o444, 0o555
		readMine, searchMine = 0o400, 0o500
	)
	if allowOther {
		return c.FileMode&readAll != readAll || c.DirMode&searchAll != searchAll
	}
	// Without allow_other only processes of the mounting user get past the kernel; root is refused nothing by modes.
	euid := os.Geteuid()
	mine := euid == 0 || c.UID == uint32(euid)
	return !mine || c.FileMode&readMine != readMine || c.DirMode&searchMine != searchMine
}

package cache

import (
	"os"

	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/objstore"
)

// Disk keeps chunks for longer than memory does: a *disk.Tier, or a *share.Member where several processes have one
// directory. What it says is here is right; what it cannot say is not here. Offer, Idle, Used and Wanted never wait, as
// they are called under the cache's lock.
type Disk interface {
	// Hold finds a chunk to read, which the caller releases; nil when nothing of it is here. It counts as a use.
	Hold(v objstore.Version, chunk int64) disk.Held
	// Admits tells whether a reader is known to be allowed to read a version, and Admit notes that one is.
	Admits(v objstore.Version, reader uint64) bool
	Admit(v objstore.Version, reader uint64)
	// Lease gives a version as a file, for the kernel to read; nil when it is not all here, or not yet.
	Lease(v objstore.Version) *disk.Lease

	// Offer has blocks written behind the readers; false, and o.Done is not called, when there is no time for them.
	Offer(o *disk.Offer) bool
	// Idle tells whether there is time for what was refused.
	Idle() bool
	// Adopt makes a file the one that has a version's bytes.
	Adopt(v objstore.Version, file *os.File, reader uint64) bool
	// Renamed has what is here of one version be another's with the same bytes.
	Renamed(from, to objstore.Version, reader uint64) bool
	// Used counts a use of a chunk that did not come by Hold.
	Used(v objstore.Version, chunk int64)
	// Wanted has what is offered of a version be kept, whatever else is here.
	Wanted(v objstore.Version)

	// Present, Cached and Stats tell what is here.
	Present(v objstore.Version, chunk int64) disk.Blocks
	Cached(v objstore.Version) int64
	Stats() disk.Stats
	// Close is called when no hold is in use any more. Done is called for what was offered and is not written.
	Close() error
}

// Want has what the disk is offered of v be kept there, whatever else is.
func (c *Cache) Want(v objstore.Version) {
	if c.disk != nil {
		c.disk.Wanted(v)
	}
}

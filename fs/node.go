package fs

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
)

// node is what stands behind a node id: one version of one file, or one directory. The kernel has it from the lookup
// that returned it until it forgets it as many times. A file that is written here is the one node that goes from
// version to version: what the kernel has of its pages was written through them.
type node struct {
	// Constants.
	id     uint64
	ino    uint64  // st_ino, also after a rename
	volume *volume // nil for the root of several buckets
	dir    bool

	// Changed by a rename only, under the table's lock.
	where atomic.Pointer[location]

	// Guarded by the table's lock.
	lookups uint64 // how often the kernel was given the node and has not forgotten it
	holds   int    // files being written at or below the node: it stays though the kernel forgets it

	// Guarded by the table of locks.
	lockedWith *node // the node of the same file by whose path this one's locks go since that was renamed; nil for its own

	mu           sync.Mutex // guards what is below; the prefetcher and the uploads are called within it to open and close, which does no I/O
	etag         string
	size         int64
	modTime      int64 // Unix seconds: LIST and HEAD differ below that
	storageClass string
	confirmed    time.Time // when the store last said that the name means this
	deferred     bool      // a lookup was answered without asking, and whether it was right has not been found out since
	opens        int       // open file handles
	writers      int       // of which may write
	file         *prefetch.File
	fileOf       objstore.Version // what file reads
	given        given
	link         bool              // a symbolic link; decided when the store first says what metadata the object has
	xattrs       map[string]string // of the user's own; replaced as a whole, never changed

	describedSince time.Time // when the store last said that, or was told; zero for never

	marked  time.Time        // when a directory was last known to have an object of its own; zero for never
	removed bool             // the name is gone, and open handles are all that is left
	covers  objstore.Version // of a file that has no object yet: what its key has, and it is to replace, since it was renamed over that

	// What is written, from the first handle that may until the last handle is gone and all is stored.
	upload *upload.File
	lost   bool   // it will never be stored: the name has somebody else's content
	cut    uint64 // publications begun, from 1
	kept   uint64 // the last of them that is stored, with all before

	io      ioState
	backing *backing // what handles pass through to; set exactly while io is in that mode
}

// location is what names a node.
type location struct {
	parent *node // nil for the root
	name   string
	key    string // a file's key; the prefix of all keys below a directory
}

func (n *node) parent() *node { return n.where.Load().parent }
func (n *node) name() string  { return n.where.Load().name }
func (n *node) key() string   { return n.where.Load().key }

// newNode makes the node of what a name was found to mean.
func newNode(id uint64, parent *node, v *volume, item names.Item) *node {
	n := &node{id: id, volume: v, dir: item.Dir, confirmed: item.Confirmed}
	if v != nil {
		n.ino = inoOf(v.bucket.Name(), item.Dir, item.Key)
	}
	n.where.Store(&location{parent: parent, name: item.Name, key: item.Key})
	if !item.Dir {
		n.etag, n.size = item.Entry.ETag, item.Entry.Size
	}
	n.learn(item.Entry)
	return n
}

// newRoot makes the node of the mount itself.
func newRoot(v *volume, prefix string) *node {
	n := &node{volume: v, dir: true, ino: rootIno}
	if v != nil {
		n.ino = inoOf(v.bucket.Name(), true, prefix)
	}
	n.where.Store(&location{key: prefix})
	return n
}

// learn takes over what may differ between two answers about one version.
func (n *node) learn(e objstore.Entry) {
	n.storageClass = e.StorageClass
	n.learnTime(e)
	if n.volume != nil && n.volume.described && tellsMetadata(e) {
		n.describeLocked(e, n.confirmed)
	}
}

func (n *node) learnTime(e objstore.Entry) {
	if !e.ModTime.IsZero() {
		n.modTime = e.ModTime.Unix()
	}
}

// item is the node as package names has it.
func (n *node) item() names.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.itemLocked()
}

func (n *node) itemLocked() names.Item {
	item := names.Item{Name: n.name(), Dir: n.dir, Key: n.key(), Confirmed: n.confirmed}
	if !n.dir {
		item.Entry = objstore.Entry{
			Key: n.key(), ETag: n.etag, Size: n.size,
			ModTime: time.Unix(n.modTime, 0), StorageClass: n.storageClass,
		}
	}
	return item
}

// path is where the node is below the mount, for the log.
func (n *node) path() string {
	var parts []string
	for ; n.parent() != nil; n = n.parent() {
		parts = append(parts, n.name())
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// childPath is path for a name in the directory.
func (n *node) childPath(name string) string {
	if n.parent() == nil {
		return "/" + name
	}
	return n.path() + "/" + name
}

// lockRoot is the node whose path is that of n's locks.
func (n *node) lockRoot() *node {
	for n.lockedWith != nil {
		n = n.lockedWith
	}
	return n
}

// lockPath is what locks on the node are on. It changes within [lockTable.move] only.
func (n *node) lockPath() lockPath {
	n = n.lockRoot()
	n.mu.Lock()
	defer n.mu.Unlock()
	path := lockPath{volume: n.volume, key: n.key()}
	if n.removed {
		path.removed = n.id
	}
	return path
}

// version is what a file's bytes are of, as far as the store has them.
func (n *node) version() objstore.Version {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.versionLocked()
}

// versionLocked is version for who holds n.mu.
func (n *node) versionLocked() objstore.Version {
	return objstore.Version{
		Endpoint: n.volume.bucket.Endpoint(), Bucket: n.volume.bucket.Name(),
		Key: n.key(), ETag: n.etag, Size: n.size,
	}
}

// confirmedAt is when the store last said that the name means this.
func (n *node) confirmedAt() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.confirmed
}

// confirm notes that the store said at a time that the name means this version.
func (n *node) confirm(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deferred = false
	if at.After(n.confirmed) {
		n.confirmed = at
	}
}

// update is confirm by an answer that says more than that.
func (n *node) update(item names.Item) {
	n.confirm(item.Confirmed)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !item.Confirmed.Before(n.confirmed) {
		n.learn(item.Entry)
	}
}

// deferCheck tells whether the node may be given to the kernel without asking the store, because the request that
// follows will ask: a file that nobody has open and that is not waiting to be asked for already. If one walks through
// what was a file and is now a directory, no request follows; so it is done once, and the next lookup asks.
func (n *node) deferCheck() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dir || n.deferred || n.opens > 0 || n.upload != nil {
		return false
	}
	n.deferred = true
	return true
}

// needsCheck tells whether attributes may be given without asking the store. Those of an open file may: fstat is of
// what was opened, and a stat by name has a lookup before it, which asks.
func (n *node) needsCheck(fresh func(time.Time) bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.upload == nil && (n.deferred || !n.dir && n.opens == 0 && !fresh(n.confirmed))
}

// isLost tells that what is written here will never be stored under its name.
func (n *node) isLost() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// means tells whether what a name was found to mean is what the node stands for. What is written here is what its name
// means, whatever the store has.
func (n *node) means(item names.Item) bool {
	if n.dir != item.Dir || n.key() != item.Key {
		return false
	}
	if n.dir {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.upload != nil || n.etag == item.Entry.ETag && n.size == item.Entry.Size
}

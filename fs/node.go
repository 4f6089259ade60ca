package fs

import (
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/fs/names"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
)

// node is what stands behind a node id: one version of one file, or one directory. The kernel has it from the lookup that
// returned it until it forgets it as many times.
type node struct {
	// Constants.
	id     uint64
	parent *node   // nil for the root
	volume *volume // nil for the root of several buckets
	name   string  // in parent
	dir    bool
	key    string // a file's key; the prefix of all keys below a directory
	etag   string
	size   int64

	// Guarded by the table's lock.
	lookups uint64 // how often the kernel was given the node and has not forgotten it

	mu           sync.Mutex // guards what is below; the prefetcher is called within it to open and close, which does no I/O
	modTime      int64      // Unix seconds: LIST and HEAD differ below that
	storageClass string
	confirmed    time.Time // when the store last said that the name means this
	deferred     bool      // a lookup was answered without asking, and whether it was right has not been found out since
	opens        int       // open file handles
	file         *prefetch.File
	io           ioState
	backing      *backing // what handles pass through to; set exactly while io is in that mode
}

// newNode makes the node of what a name was found to mean.
func newNode(id uint64, parent *node, v *volume, item names.Item) *node {
	n := &node{
		id: id, parent: parent, volume: v, name: item.Name, dir: item.Dir, key: item.Key,
		confirmed: item.Confirmed,
	}
	if !item.Dir {
		n.etag, n.size = item.Entry.ETag, item.Entry.Size
	}
	n.learn(item.Entry)
	return n
}

// learn takes over what may differ between two answers about one version.
func (n *node) learn(e objstore.Entry) {
	n.storageClass = e.StorageClass
	if !e.ModTime.IsZero() {
		n.modTime = e.ModTime.Unix()
	}
}

// item is the node as package names has it.
func (n *node) item() names.Item {
	n.mu.Lock()
	defer n.mu.Unlock()
	item := names.Item{Name: n.name, Dir: n.dir, Key: n.key, Confirmed: n.confirmed}
	if !n.dir {
		item.Entry = objstore.Entry{
			Key: n.key, ETag: n.etag, Size: n.size,
			ModTime: time.Unix(n.modTime, 0), StorageClass: n.storageClass,
		}
	}
	return item
}

// path is where the node is below the mount, for the log.
func (n *node) path() string {
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.name)
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
	if n.parent == nil {
		return "/" + name
	}
	return n.path() + "/" + name
}

// lockPath is what locks on the node are on.
func (n *node) lockPath() lockPath { return lockPath{volume: n.volume, key: n.key} }

// ino is the node's st_ino.
func (n *node) ino() uint64 {
	if n.volume == nil {
		return rootIno
	}
	return inoOf(n.volume.bucket.Name(), n.dir, n.key)
}

// version is what a file's bytes are of.
func (n *node) version() objstore.Version {
	return objstore.Version{
		Endpoint: n.volume.bucket.Endpoint(), Bucket: n.volume.bucket.Name(),
		Key: n.key, ETag: n.etag, Size: n.size,
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

// deferCheck tells whether the node may be given to the kernel without asking the store, because the request that follows will
// ask: a file that nobody has open and that is not waiting to be asked for already. If one walks through what was a
// file and is now a directory, no request follows; so it is done once, and the next lookup asks.
func (n *node) deferCheck() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dir || n.deferred || n.opens > 0 {
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
	return n.deferred || !n.dir && n.opens == 0 && !fresh(n.confirmed)
}

// open counts a handle and returns the file that all handles share.
func (n *node) open(files *prefetch.Prefetcher) *prefetch.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens++; n.opens == 1 {
		n.file = files.Open(n.version())
	}
	return n.file
}

// isOpen tells whether there are open file handles.
func (n *node) isOpen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opens > 0
}

// close ends what one call of open began.
func (n *node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens--; n.opens == 0 {
		n.file.Close()
		n.file = nil
	}
}

// beginIO decides how one more handle is read. b is a local file that it could pass through to, nil for none; the one to end
// is returned as spare when it is not used. id is what the handle passes through to. fresh means that it takes another node, unless
// stay, and that nothing was begun.
func (n *node) beginIO(b *backing, stay bool) (mode ioMode, id int32, spare *backing, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if mode, fresh = n.io.open(b != nil); fresh && stay {
		mode, fresh = n.io.openCached(), false
	}
	if mode != ioPassthrough {
		return mode, 0, b, fresh
	}
	if n.backing == nil {
		n.backing = b
	} else {
		spare = b
	}
	return mode, n.backing.id, spare, false
}

// endIO ends what beginIO began, and returns the local file that nobody passes through to any more.
func (n *node) endIO() (done *backing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.io.close() {
		done, n.backing = n.backing, nil
	}
	return done
}

// passesThrough tells whether open handles do.
func (n *node) passesThrough() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.io.mode == ioPassthrough
}

// means tells whether what a name was found to mean is what the node stands for.
func (n *node) means(item names.Item) bool {
	if n.dir != item.Dir || n.key != item.Key {
		return false
	}
	return n.dir || n.etag == item.Entry.ETag && n.size == item.Entry.Size
}

// rootIno is the st_ino of the root of several buckets: what the roots of most file systems have.
const rootIno = 1

// inoOf computes an st_ino from what is named, so that it is the same in readdir and stat, for all versions and for all
// mounts: 64 bits of FNV-1a over bucket, kind and key. Two names of ten million share one with a chance of 1 in
// 400,000, and then nothing happens but that a program that compares inode numbers takes them for hard links, which st_nlink denies.
func inoOf(bucket string, dir bool, key string) uint64 {
	h := fnv.New64a()
	kind := "\x00file\x00"
	if dir {
		kind = "\x00dir\x00"
	}
	for _, part := range []string{bucket, kind, key} {
		_, _ = h.Write([]byte(part)) // never fails
	}
	// 0 means "no inode", 1 is the root's, and the highest is the protocol library's.
	if ino := h.Sum64(); ino > rootIno && ino != ^uint64(0) {
		return ino
	}
	return rootIno + 1
}

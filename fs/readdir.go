package fs

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/fs/names"
)

// Offsets in a directory: after "." and after "..". Those after other entries are the stream's, which are larger.
const (
	afterDot    = 1
	afterDotDot = 2
)

// entries is a reader's place in a directory of a bucket, or in the list of buckets.
type entries interface {
	// Next returns the next entry, and io.EOF after the last. After another error the place is what it was.
	Next(ctx context.Context) (names.Item, error)
	// Back undoes the last Next.
	Back()
	// Offset is the place: 0 at the start, else above afterDotDot.
	Offset() uint64
	// Seek goes to a place that Offset gave, and to where it was in a directory that has changed; 0 is the start of a new
	// pass.
	Seek(offset uint64)
	// Close ends the reading.
	Close()
}

// dirHandle is one open directory.
type dirHandle struct {
	node *node
	turn chan struct{} // holds one token: whoever has it may use entries
	entries
}

// OpenDir opens a directory. Nothing is listed yet.
func (f *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	switch {
	case n == nil:
		return fuse.Status(syscall.ESTALE)
	case !n.dir:
		return fuse.ENOTDIR
	}
	h := &dirHandle{node: n, turn: make(chan struct{}, 1)}
	h.turn <- struct{}{}
	if n.volume == nil {
		h.entries = &bucketEntries{fs: f}
	} else {
		h.entries = &place{open: func() pass { return n.volume.tree.ReadDir(f.life, n.key()) }}
	}
	out.Fh = f.dirs.add(h)
	return fuse.OK
}

// ReleaseDir closes a directory.
func (f *fileSystem) ReleaseDir(in *fuse.ReleaseIn) {
	if h, ok := f.dirs.remove(in.Fh); ok {
		h.Close()
	}
}

// FsyncDir has what was renamed and removed stay so, whatever happens to the machine. Names that the store has need
// nothing.
func (f *fileSystem) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if f.cfg.Uploads == nil {
		return fuse.OK
	}
	if err := f.cfg.Uploads.SyncNames(); err != nil {
		path := ""
		if n := f.nodes.get(in.NodeId); n != nil {
			path = n.path()
		}
		return f.answer("fsync", path, err, errnoOf(err))
	}
	return fuse.OK
}

// ReadDir lists names and kinds.
func (f *fileSystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, func(_ *node, e fuse.DirEntry, _ *names.Item) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus lists names with the answer to a lookup of each, so that `ls -l` needs no lookups.
func (f *fileSystem) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if f.cfg.PosixMetadata {
		return f.readDirDescribed(cancel, in, out)
	}
	return f.readDir(cancel, in, func(parent *node, e fuse.DirEntry, item *names.Item) bool {
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		// A node id of 0 gives the kernel the name alone. "." and ".." are never looked up. Buckets are when they are
		// entered: until then they are not opened.
		if item != nil && parent.volume != nil {
			n := f.nodes.enter(parent, parent.volume, *item)
			f.fillEntry(n, f.validity(n.confirmedAt()), entry)
			out.FixMode(entry.Mode)
		}
		return true
	})
}

// describedAtOnce is how many names of one answer are asked for at the same time.
const describedAtOnce = 32

// listed is a name in an answer, and where the answer to its lookup goes.
type listed struct {
	parent *node
	item   names.Item
	entry  *fuse.EntryOut
}

// readDirDescribed is ReadDirPlus where attributes are of the objects' metadata, which takes a HEAD a name. The kernel
// always begins a directory with this request, and goes on with it if names were looked up meanwhile: so the first
// answer gives names alone, and the later ones ask for those of one answer at the same time.
func (f *fileSystem) readDirDescribed(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	var all []listed
	status := f.readDir(cancel, in, func(parent *node, e fuse.DirEntry, item *names.Item) bool {
		entry := out.AddDirLookupEntry(e)
		if entry != nil && item != nil && parent.volume != nil && in.Offset > 0 {
			all = append(all, listed{parent, *item, entry})
		}
		return entry != nil
	})
	if status != fuse.OK || len(all) == 0 {
		return status
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	since := f.cfg.Now()
	var g errgroup.Group
	g.SetLimit(describedAtOnce)
	for _, l := range all {
		g.Go(func() error {
			n := f.nodes.enter(l.parent, l.parent.volume, l.item)
			if f.describe(r, n, since) != nil { // whoever looks it up is told why
				f.nodes.forget(n.id, 1)
				return nil
			}
			f.fillEntry(n, f.validity(f.knownSince(n)), l.entry)
			return nil
		})
	}
	_ = g.Wait() // they return none
	return fuse.OK
}

// readDir answers with as many entries from an offset on as fit. add tells whether one did; item is nil for "." and
// "..".
func (f *fileSystem) readDir(cancel <-chan struct{}, in *fuse.ReadIn, add func(parent *node, e fuse.DirEntry, item *names.Item) bool) fuse.Status {
	h, ok := f.dirs.get(in.Fh)
	if !ok {
		return fuse.EBADF
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-r.Done():
		return f.answer("readdir", h.node.path(), r.Err(), syscall.EINTR)
	}
	added, err := f.fillDir(r, h, in.Offset, add)
	f.counters.dirEntries.Add(int64(added))
	if err != nil && added == 0 { // else it comes up again with the next request
		return f.answer("readdir", h.node.path(), err, errnoOf(err))
	}
	return fuse.OK
}

// fillDir adds entries until one does not fit, the directory ends, or something fails.
func (f *fileSystem) fillDir(ctx context.Context, h *dirHandle, offset uint64, add func(*node, fuse.DirEntry, *names.Item) bool) (added int, err error) {
	for ; offset < afterDotDot; offset++ {
		if !add(h.node, dotEntry(h.node, offset), nil) {
			return added, nil
		}
		added++
	}
	// A place is often asked for again: the kernel asks for more than it can hand on.
	if offset == afterDotDot {
		offset = 0
	}
	h.Seek(offset)
	for {
		item, err := h.Next(ctx)
		if errors.Is(err, io.EOF) {
			return added, nil
		}
		if err != nil {
			return added, err
		}
		if !add(h.node, f.dirEntry(h.node, item, h.Offset()), &item) {
			h.Back()
			return added, nil
		}
		added++
	}
}

// dotEntry is "." or "..". The root has itself above it, as the kernel has it on every mount.
func dotEntry(n *node, offset uint64) fuse.DirEntry {
	e := fuse.DirEntry{Name: ".", Ino: n.ino, Mode: syscall.S_IFDIR, Off: offset + 1}
	if offset == afterDot {
		e.Name = ".."
		if n.parent() != nil {
			e.Ino = n.parent().ino
		}
	}
	return e
}

// dirEntry is the entry of what the store has; offset is the place after it.
func (f *fileSystem) dirEntry(parent *node, item names.Item, offset uint64) fuse.DirEntry {
	e := fuse.DirEntry{Name: item.Name, Mode: syscall.S_IFREG, Off: offset}
	switch {
	case item.Dir:
		e.Mode = syscall.S_IFDIR
	case f.cfg.PosixMetadata && item.Entry.Size <= maxLink: // it may be a symbolic link
		e.Mode = 0
	}
	bucket := item.Name // an entry of the root of several buckets
	if parent.volume != nil {
		bucket = parent.volume.bucket.Name()
	}
	e.Ino = inoOf(bucket, item.Dir, item.Key)
	return e
}

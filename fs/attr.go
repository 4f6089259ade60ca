package fs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	// blockSize is st_blksize: how much stdio and cp read at once. cp and cat take 128 KiB at least; more would have a
	// Python program that reads at random through a buffered file read that much each time.
	blockSize = 128 << 10

	// sectorSize is the unit of st_blocks.
	sectorSize = 512

	executeBits = 0o111
)

// GetAttr answers stat and fstat, and the kernel itself where it checks modes. ESTALE when a file's name means another
// version now: the kernel then looks the name up again, and stat sees the new one.
func (f *fileSystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if status := f.checkName(cancel, "stat", n, in.Pid); status != fuse.OK {
		return status
	}
	f.fillAttr(n, &out.Attr)
	out.SetTimeout(f.attrValidity(n))
	return fuse.OK
}

// Access answers access(2) and chdir(2) when the kernel does not check modes, which is so when they refuse nobody
// ([Config.refuses]): what is left to say no to is writing, and running what is no program.
func (f *fileSystem) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if status := f.checkName(cancel, "access", n, in.Pid); status != fuse.OK {
		return status
	}
	switch {
	case in.Mask&fuse.W_OK != 0 && f.cfg.Uploads == nil:
		return fuse.EROFS
	case in.Mask&fuse.W_OK != 0 && !f.mayChange(&in.InHeader, n):
		return fuse.EACCES
	case in.Mask&fuse.X_OK != 0 && !n.dir && f.attributes(n).Mode&executeBits == 0:
		return fuse.EACCES
	}
	return fuse.OK
}

// checkName asks the store about a name of which only attributes are wanted, where that is due.
func (f *fileSystem) checkName(cancel <-chan struct{}, what string, n *node, pid uint32) fuse.Status {
	since := f.cfg.Now()
	if n.needsCheck(f.fresh) && !f.believes(n) {
		r := f.begin(cancel, pid)
		defer r.end()
		if err := f.check(r, n); err != nil {
			return f.refuse(what, n, err)
		}
	}
	return f.describeName(cancel, what, n, pid, since)
}

// attrValidity is how long the kernel may keep a node's attributes. The root's never change.
func (f *fileSystem) attrValidity(n *node) time.Duration {
	if n.parent() == nil {
		return forever
	}
	if n.isWritten() {
		return f.cfg.MetadataTTL
	}
	return f.validity(f.knownSince(n))
}

// fillEntry is the answer to a lookup: the node, and for how long its name and attributes hold.
func (f *fileSystem) fillEntry(n *node, validity time.Duration, out *fuse.EntryOut) {
	if n.isWritten() {
		validity = f.cfg.MetadataTTL
	}
	out.NodeId = n.id
	out.Generation = 0 // ids are never used twice
	out.SetEntryTimeout(validity)
	out.SetAttrTimeout(validity)
	f.fillAttr(n, &out.Attr)
}

// fillAttr is what stat shows.
func (f *fileSystem) fillAttr(n *node, out *fuse.Attr) { *out = f.attributes(n) }

// attributes are what stat shows of a node.
func (f *fileSystem) attributes(n *node) fuse.Attr {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed, size := n.modTime, n.size
	if n.upload != nil {
		size = n.upload.Size()
		if n.upload.Changed() {
			changed = n.upload.Touched().Unix()
		}
	}
	if changed == 0 { // a directory without a marker object has no time of its own
		changed = f.started
	}
	a := fuse.Attr{
		Ino: n.ino, Mode: syscall.S_IFREG | f.cfg.FileMode, Nlink: 1, Blksize: blockSize,
		Size: uint64(size), Blocks: uint64(size+sectorSize-1) / sectorSize,
		Atime: uint64(changed), Mtime: uint64(changed), Ctime: uint64(changed),
		Owner: fuse.Owner{Uid: f.cfg.UID, Gid: f.cfg.GID},
	}
	switch {
	case n.dir:
		a.Mode = syscall.S_IFDIR | f.cfg.DirMode
	case n.link:
		a.Mode = syscall.S_IFLNK | permissionBits
	}
	if n.removed {
		a.Nlink = 0
	}
	n.given.apply(&a)
	return a
}

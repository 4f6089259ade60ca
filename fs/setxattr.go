package fs

import (
	"maps"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxMetadata, in bytes, is how much user metadata an object may have, names and values: see "Working with object
// metadata" in the S3 guide.
const maxMetadata = 2 << 10

// isOwnAttr tells whether an extended attribute is one that users give: those of the version and of the mount are told,
// not given.
func isOwnAttr(name string) bool {
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.s3.") && !strings.HasPrefix(name, "user.headrace.")
}

// ownAttrs are the attributes that users gave. They are not to be changed.
func (n *node) ownAttrs() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.xattrs
}

// SetXAttr gives an attribute of the user's own. Without [Config.PosixMetadata] there is nowhere to keep it.
func (f *fileSystem) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	name, flags, text := strings.Clone(name), in.Flags, string(value) // what the kernel has sent is gone when who asks is let go
	return f.changeXattrs(cancel, &in.InHeader, name, func(all map[string]string) error {
		_, has := all[name]
		switch {
		case has && flags&unix.XATTR_CREATE != 0:
			return syscall.EEXIST
		case !has && flags&unix.XATTR_REPLACE != 0:
			return syscall.ENODATA
		}
		all[name] = text
		return nil
	})
}

// RemoveXAttr takes one off.
func (f *fileSystem) RemoveXAttr(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	name = strings.Clone(name)
	return f.changeXattrs(cancel, header, name, func(all map[string]string) error {
		if _, has := all[name]; !has {
			return syscall.ENODATA
		}
		delete(all, name)
		return nil
	})
}

// changeXattrs changes the attributes that users gave.
func (f *fileSystem) changeXattrs(cancel <-chan struct{}, header *fuse.InHeader, name string, change func(map[string]string) error) fuse.Status {
	n := f.nodes.get(header.NodeId)
	switch {
	case n == nil:
		return fuse.Status(syscall.ESTALE)
	case f.cfg.Uploads == nil:
		return fuse.EROFS
	case !f.cfg.PosixMetadata, !utf8.ValidString(name), !strings.HasPrefix(name, "user."):
		return fuse.Status(syscall.ENOTSUP)
	case !isOwnAttr(name), n.parent() == nil, n.parent().volume == nil:
		return fuse.EPERM
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	return f.setAttributes(r, n, func() error {
		all := maps.Clone(n.xattrs)
		if all == nil {
			all = make(map[string]string)
		}
		if err := change(all); err != nil {
			return err
		}
		n.xattrs = all
		if size(n.metadataLocked()) > maxMetadata {
			return syscall.ENOSPC
		}
		return nil
	})
}

// size is what metadata takes of what an object may have.
func size(metadata map[string]string) (n int) {
	for name, value := range metadata {
		if value != "" {
			n += len(name) + len(value)
		}
	}
	return n
}

package fs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The extended attributes of files, which are those of their version; directories have the key, which is their prefix.
const (
	attrETag   = "user.s3.etag"
	attrKey    = "user.s3.key"
	attrClass  = "user.s3.storage_class"
	attrCached = "user.headrace.cached" // bytes of the version that are held locally, in decimal

	// KeepAttribute, of a file, has its version be kept on the local disk, what is in memory now and the rest when it is
	// read next: asking for it is what does it, since a read-only mount lets no attribute be set. Its value is a Keeping.
	// It is not among the names, so no program asks without meaning it.
	KeepAttribute = "user.headrace.keep"

	// StagingAttribute, of the directory that is mounted, is where what was written to it waits to be stored. There is
	// none where nothing can be written.
	StagingAttribute = "user.headrace.staging"

	// StoreAttribute, of the directory that is mounted, is Config.Store: how to reach what is mounted.
	StoreAttribute = "user.headrace.store"

	// StatusAttribute, of the directory that is mounted, is what Config.Status says when it is asked for. It is not among
	// the names, since it is another each time.
	StatusAttribute = "user.headrace.status"

	// defaultClass is what a store means that names no storage class.
	defaultClass = "STANDARD"
)

// attrNames are the attributes a node has.
func (f *fileSystem) attrNames(n *node) []string {
	names := f.versionAttrNames(n)
	for _, name := range []string{StagingAttribute, StoreAttribute} {
		if _, ok := f.mountAttr(n, name); ok {
			names = append(names, name)
		}
	}
	return slices.AppendSeq(names, maps.Keys(n.ownAttrs()))
}

// mountAttr is an attribute of the directory that is mounted, which the store knows nothing of.
func (f *fileSystem) mountAttr(n *node, name string) (string, bool) {
	switch {
	case n.id != fuse.FUSE_ROOT_ID:
		return "", false
	case name == StagingAttribute && f.cfg.Uploads != nil:
		return f.cfg.Uploads.Place(), true
	case name == StoreAttribute && f.cfg.Store != "":
		return f.cfg.Store, true
	case name == StatusAttribute && f.cfg.Status != nil:
		status := f.cfg.Status()
		return status, status != ""
	}
	return "", false
}

func (f *fileSystem) versionAttrNames(n *node) []string {
	switch {
	case n.volume == nil:
		return nil
	case n.dir:
		return []string{attrKey}
	case f.cfg.Cached == nil:
		return []string{attrETag, attrKey, attrClass}
	}
	return []string{attrETag, attrKey, attrClass, attrCached}
}

// attrValue is one attribute of a node; false when it has none of that name.
func (f *fileSystem) attrValue(n *node, name string) (string, bool) {
	if value, ok := f.mountAttr(n, name); ok {
		return value, true
	}
	if n.volume == nil {
		return "", false
	}
	if isOwnAttr(name) {
		value, ok := n.ownAttrs()[name]
		return value, ok
	}
	switch {
	case name == attrKey:
		return n.key(), true
	case n.dir:
		return "", false
	case name == attrETag:
		return n.version().ETag, true
	case name == attrClass:
		class := n.item().Entry.StorageClass
		if class == "" {
			class = defaultClass
		}
		return class, true
	case name == attrCached && f.cfg.Cached != nil:
		return strconv.FormatInt(f.cfg.Cached(n.version()), 10), true
	case name == KeepAttribute && f.cfg.Keep != nil:
		return "", true // see GetXAttr
	}
	return "", false
}

// GetXAttr reads an attribute. Like GetAttr, it makes sure that the name still means this version.
func (f *fileSystem) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	n := f.nodes.get(header.NodeId)
	if n == nil {
		return 0, fuse.Status(syscall.ESTALE)
	}
	if f.cfg.PosixMetadata && isOwnAttr(name) {
		if status := f.checkName(cancel, "getxattr", n, header.Pid); status != fuse.OK {
			return 0, status
		}
	}
	if _, ok := f.attrValue(n, name); !ok { // the kernel asks for security.capability and the like, and needs no store for a no
		return 0, fuse.ENODATA
	}
	if value, ok := f.mountAttr(n, name); ok {
		return copyAttr(dest, value)
	}
	if status := f.checkName(cancel, "getxattr", n, header.Pid); status != fuse.OK {
		return 0, status
	}
	value, _ := f.attrValue(n, name)
	if name == KeepAttribute {
		value = f.cfg.Keep(n.version()).String()
	}
	return copyAttr(dest, value)
}

// ListXAttr names the attributes.
func (f *fileSystem) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	n := f.nodes.get(header.NodeId)
	if n == nil {
		return 0, fuse.Status(syscall.ESTALE)
	}
	if status := f.describeName(cancel, "listxattr", n, header.Pid, f.cfg.Now()); status != fuse.OK {
		return 0, status
	}
	var list strings.Builder
	for _, name := range f.attrNames(n) {
		list.WriteString(name)
		list.WriteByte(0)
	}
	return copyAttr(dest, list.String())
}

// copyAttr answers with the size alone when there is no room, as the protocol has it.
func copyAttr(dest []byte, value string) (uint32, fuse.Status) {
	if len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(dest, value)), fuse.OK
}

package fs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// given is what chmod, chown and utimes have said of a node: what its object bears with [Config.PosixMetadata], else
// kept as long as the node.
type given struct {
	has             givenFields
	mode, uid, gid  uint32
	modTime, atTime int64 // Unix seconds
}

type givenFields uint8

const (
	givenMode givenFields = 1 << iota
	givenUID
	givenGID
	givenModTime
	givenAtTime
)

// born is what a new file or directory has of who makes it: the mode and, where attributes are kept, the owner. The
// caller holds mu.
func (n *node) born(mode uint32, owner fuse.Owner) {
	n.given.mode, n.given.has = mode&permissionBits, givenMode
	if n.volume.described {
		n.given.uid, n.given.gid, n.given.has = owner.Uid, owner.Gid, givenMode|givenUID|givenGID
	}
}

// apply puts what was given in place of what the mount shows.
func (g *given) apply(a *fuse.Attr) {
	if g.has&givenMode != 0 {
		a.Mode = a.Mode&syscall.S_IFMT | g.mode
	}
	if g.has&givenUID != 0 {
		a.Uid = g.uid
	}
	if g.has&givenGID != 0 {
		a.Gid = g.gid
	}
	if g.has&givenModTime != 0 {
		a.Mtime = uint64(g.modTime)
	}
	if g.has&givenAtTime != 0 {
		a.Atime = uint64(g.atTime)
	}
}

// set takes over what a request says; now is for times that are to be the current one.
func (g *given) set(in *fuse.SetAttrIn, now int64) {
	if mode, ok := in.GetMode(); ok {
		g.mode, g.has = mode&permissionBits, g.has|givenMode
	}
	if uid, ok := in.GetUID(); ok {
		g.uid, g.has = uid, g.has|givenUID
	}
	if gid, ok := in.GetGID(); ok {
		g.gid, g.has = gid, g.has|givenGID
	}
	switch {
	case in.Valid&fuse.FATTR_MTIME_NOW != 0:
		g.modTime, g.has = now, g.has|givenModTime
	case in.Valid&fuse.FATTR_MTIME != 0:
		g.modTime, g.has = int64(in.Mtime), g.has|givenModTime
	}
	switch {
	case in.Valid&fuse.FATTR_ATIME_NOW != 0:
		g.atTime, g.has = now, g.has|givenAtTime
	case in.Valid&fuse.FATTR_ATIME != 0:
		g.atTime, g.has = int64(in.Atime), g.has|givenAtTime
	}
}

// touched forgets the times: the content has changed since they were given.
func (g *given) touched() { g.has &^= givenModTime | givenAtTime }

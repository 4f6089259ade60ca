package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/posixmeta"
	"github.com/headrace/headrace/objstore"
)

// With [Config.PosixMetadata] a node's mode, owner, times, extended attributes, and whether it is a symbolic link, are
// what the metadata of its object says. A listing does not tell it, so that each name that is looked up costs a HEAD
// within the TTL; one that a lookup, a check or a write has made anyway counts.

// maxLink, in bytes, is the longest target of a symbolic link: PATH_MAX without its end. A longer object is no link,
// whatever its metadata says.
const maxLink = 4095

// metadata gives a request of a name's class.
func metadataRequest(ctx context.Context) context.Context {
	return objstore.WithTicket(ctx, objstore.NewTicket(objstore.ClassMetadata))
}

// tellsMetadata tells whether an answer of the store is one that has the metadata: all objects have a content type, and
// listings leave it out.
func tellsMetadata(e objstore.Entry) bool { return e.ContentType != "" || e.Metadata != nil }

// describe makes sure that a node's attributes are what its object's metadata says, as of since or within the TTL.
// errStale when its name means something else by now.
func (f *fileSystem) describe(ctx context.Context, n *node, since time.Time) error {
	if f.isDescribed(n, since) {
		return nil
	}
	asked := f.cfg.Now()
	e, err := n.volume.bucket.Stat(metadataRequest(ctx), n.key())
	switch {
	case n.dir && errors.Is(err, objstore.ErrNotExist): // it has no marker
		e, err = objstore.Entry{}, nil
	case err != nil:
		return f.staleness(n, err)
	case !n.dir && e.ETag != n.version().ETag && !n.isWritten():
		return f.staleness(n, errStale)
	}
	if !n.described(e, asked) {
		return f.staleness(n, errStale)
	}
	return nil
}

// isDescribed tells whether nothing has to be asked.
func (f *fileSystem) isDescribed(n *node, since time.Time) bool {
	if !f.cfg.PosixMetadata || n.parent() == nil || n.parent().volume == nil || n.isWritten() {
		return true
	}
	at := n.describedAt()
	return !at.IsZero() && (f.fresh(at) || !at.Before(since))
}

// describedAt is when the store last said what metadata the object has; zero for never.
func (n *node) describedAt() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.describedSince
}

// described takes over what the store said of an object's metadata at a time; false when the node would be of another
// kind, which no node becomes.
func (n *node) described(e objstore.Entry, asked time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.describeLocked(e, asked)
}

func (n *node) describeLocked(e objstore.Entry, asked time.Time) bool {
	if !asked.After(n.describedSince) { // of before the last change, which was this mount's own
		return true
	}
	a := posixmeta.Parse(e.Metadata)
	link := !n.dir && a.Type == syscall.S_IFLNK && e.Size > 0 && e.Size <= maxLink
	if n.describedSince.IsZero() {
		n.link = link
	}
	if n.link != link {
		return false
	}
	n.describedSince, n.xattrs = asked, a.Xattrs
	n.given = given{mode: a.Mode, uid: a.UID, gid: a.GID, modTime: a.ModTime, atTime: a.Atime}
	for _, one := range []struct {
		said posixmeta.Has
		has  givenFields
	}{
		{posixmeta.HasMode, givenMode},
		{posixmeta.HasUID, givenUID},
		{posixmeta.HasGID, givenGID},
		{posixmeta.HasModTime, givenModTime},
		{posixmeta.HasAtime, givenAtTime},
	} {
		if a.Has&one.said != 0 {
			n.given.has |= one.has
		}
	}
	if n.dir && e.Key != "" {
		n.marked = asked
		n.learnTime(e)
	}
	return true
}

// metadataLocked is what the object's metadata is to be, as laid over what it has. The caller holds mu.
func (n *node) metadataLocked() map[string]string {
	g := &n.given
	a := posixmeta.Attributes{
		Type: syscall.S_IFREG, Mode: g.mode, UID: g.uid, GID: g.gid, ModTime: g.modTime, Atime: g.atTime, Xattrs: n.xattrs,
	}
	switch {
	case n.dir:
		a.Type = syscall.S_IFDIR
	case n.link:
		a.Type = syscall.S_IFLNK
	}
	for _, one := range []struct {
		has  givenFields
		says posixmeta.Has
	}{
		{givenMode, posixmeta.HasMode},
		{givenUID, posixmeta.HasUID},
		{givenGID, posixmeta.HasGID},
		{givenModTime, posixmeta.HasModTime},
		{givenAtTime, posixmeta.HasAtime},
	} {
		if g.has&one.has != 0 {
			a.Has |= one.says
		}
	}
	return a.Metadata()
}

// knownSince is since when what is told of a node holds.
func (f *fileSystem) knownSince(n *node) time.Time {
	at := n.confirmedAt()
	if f.cfg.PosixMetadata && n.parent() != nil && n.parent().volume != nil {
		if described := n.describedAt(); described.Before(at) {
			return described
		}
	}
	return at
}

// describeName is describe for a request by name.
func (f *fileSystem) describeName(cancel <-chan struct{}, what string, n *node, pid uint32, since time.Time) fuse.Status {
	if f.isDescribed(n, since) {
		return fuse.OK
	}
	r := f.begin(cancel, pid)
	defer r.end()
	if err := f.describe(r, n, since); err != nil {
		return f.refuse(what, n, err)
	}
	return fuse.OK
}

// metadata is metadataLocked, and nothing where attributes are not kept.
func (n *node) metadata() map[string]string {
	if n.volume == nil || !n.volume.described {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.metadataLocked()
}

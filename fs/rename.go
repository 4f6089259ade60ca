package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// Rename gives a file or a directory another name, in place of what had it.
func (f *fileSystem) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	from, status := f.changeable(&in.InHeader, in.NodeId, oldName)
	if status != fuse.OK {
		return status
	}
	to, status := f.changeable(&in.InHeader, in.Newdir, newName)
	switch {
	case status != fuse.OK:
		return status
	case in.Flags&^unix.RENAME_NOREPLACE != 0:
		return fuse.EINVAL
	case from.volume != to.volume: // two buckets
		return fuse.Status(syscall.EXDEV)
	}
	r := f.begin(cancel, in.Pid)
	defer r.end()
	m := move{from: from, to: to, oldName: strings.Clone(oldName), name: strings.Clone(newName), mustBeNew: in.Flags&unix.RENAME_NOREPLACE != 0}
	return f.seeThrough(r, func() fuse.Status { return f.rename(r, m) })
}

// rename is Rename once the request is known to make sense.
func (f *fileSystem) rename(ctx context.Context, m move) fuse.Status {
	oldPath := m.from.childPath(m.oldName)
	done, err := f.turns.take(ctx, m.from.volume, func() []string { return []string{m.from.key() + m.oldName, m.to.key() + m.name} })
	if err != nil {
		return f.answer("rename", oldPath, err, errnoOf(err))
	}
	defer done()
	if m.node, err = f.child(ctx, m.from, m.oldName); err != nil {
		return f.answer("rename", oldPath, err, errnoOf(err))
	}
	defer f.nodes.forget(m.node.id, 1)
	if errno := f.target(ctx, &m); errno != 0 {
		return fuse.Status(errno)
	}
	if m.replaced != nil {
		defer f.nodes.forget(m.replaced.id, 1)
	}
	if m.node.dir {
		err = f.moveDirectory(ctx, m)
	} else {
		err = f.moveFile(ctx, m)
	}
	if err == nil {
		err = f.keepDirectory(f.life, m.from)
	}
	if err != nil {
		return f.answer("rename", oldPath, err, createErrno(err))
	}
	return fuse.OK
}

// move is a rename under way.
type move struct {
	node     *node
	from, to *node // directories
	oldName  string
	name     string
	key      string // the new one
	replaced *node  // what has the name; nil for nothing

	mustBeNew bool
}

// target finds what the new name means, and whether it may be replaced.
func (f *fileSystem) target(ctx context.Context, m *move) syscall.Errno {
	failed := func(err error) syscall.Errno {
		return syscall.Errno(f.answer("rename", m.to.childPath(m.name), err, createErrno(err)))
	}
	n, err := f.child(ctx, m.to, m.name)
	if err != nil && !errors.Is(err, objstore.ErrNotExist) {
		return failed(err)
	}
	if err == nil {
		errno := replaceable(m.node, n, m.mustBeNew)
		if errno == 0 && n.dir {
			var empty bool
			if empty, err = n.volume.tree.Empty(ctx, n.key()); err != nil {
				errno = failed(err)
			} else if !empty {
				errno = syscall.ENOTEMPTY
			}
		}
		if errno != 0 {
			f.nodes.forget(n.id, 1)
			return errno
		}
		m.replaced, m.key = n, n.key()
		return 0
	}
	if m.key, err = m.to.volume.tree.NewKey(m.to.key(), m.name, m.node.dir); err != nil {
		return failed(err)
	}
	return 0
}

// replaceable tells whether n may take the name of old.
func replaceable(n, old *node, mustBeNew bool) syscall.Errno {
	switch {
	case mustBeNew:
		return syscall.EEXIST
	case old.dir && !n.dir:
		return syscall.EISDIR
	case !old.dir && n.dir:
		return syscall.ENOTDIR
	}
	return 0
}

// renameNode has the node go by its new name, once the store does.
func (f *fileSystem) renameNode(m move) {
	n, tree := m.node, m.node.volume.tree
	oldDir, oldName := n.parent().key(), n.name()
	if m.replaced != nil {
		f.detach(f.life, m.replaced)
	}
	f.locks.move(n, func() { f.nodes.move(n, m.to, m.name, m.key) })
	n.mu.Lock()
	item, held := n.itemLocked(), n.upload != nil
	tree.Release(oldDir, oldName) // also when its writing has ended just now, under the new name
	if held {
		tree.Hold(m.to.key(), item)
	}
	n.mu.Unlock()
	tree.Gone(oldDir, oldName)
	if !held {
		tree.Learn(m.to.key(), item)
	}
}

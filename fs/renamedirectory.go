package fs

import (
	"context"
	"syscall"
	"time"
)

// moveDirectory gives a directory another name: all keys below it. What is being written below is stored first, under its new key where it has no object
// yet.
func (f *fileSystem) moveDirectory(ctx context.Context, m move) error {
	n := m.node
	from := n.key()
	if m.to == n || m.to.isBelow(n) {
		return syscall.EINVAL
	}
	for _, below := range f.nodes.below(n) {
		if u := below.writing(); u != nil && u.Changed() {
			if err := f.publishBy(ctx, below, u.Store); err != nil {
				return err
			}
		}
	}
	if err := f.cfg.Uploads.MoveDirectory(ctx, n.volume.bucket, from, m.key); err != nil {
		n.volume.tree.Rehome(from, m.key) // some of it may have moved
		return err
	}
	if m.replaced != nil {
		f.nodes.retire(m.replaced)
	}
	oldDir, oldName := n.parent().key(), n.name()
	f.locks.move(n, func() { f.nodes.move(n, m.to, m.name, m.key) })
	n.volume.tree.Rehome(from, m.key)
	n.volume.tree.Gone(oldDir, oldName)
	for _, below := range f.nodes.below(n) {
		f.rebase(below)
	}
	return nil
}

// rebase has a file below a directory that was moved be asked for when it is opened next: its object may have another ETag. Who has it open reads
// on by the one it had, which is the same where the store computes ETags from content.
func (f *fileSystem) rebase(n *node) {
	n.mu.Lock()
	n.confirmed, n.deferred = time.Time{}, true
	u, v := n.upload, n.versionLocked()
	n.mu.Unlock()
	if u != nil { // its log is written to, so not within the lock
		u.Moved(v)
	}
}

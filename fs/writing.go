package fs

import (
	"context"
	"errors"
	"mime"
	"path"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload"
)

// A node that is open for writing has an upload: what is read and written goes there, and what the store has is its
// base. It has it until the last handle is gone and all that was written is stored; for so long the node stays in the
// table, though the kernel may forget it, and its name means it whatever the store says.

// writing is the node's upload, nil when it has none.
func (n *node) writing() *upload.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.upload
}

// origin is what the content of an upload is to begin with.
type origin int

const (
	fromVersion origin = iota // the version that the node has
	fromNothing
)

// startWriting makes sure that a node that has a handle has an upload. exclusive is for a name that must be new.
func (f *fileSystem) startWriting(n *node, from origin, exclusive bool) (*upload.File, error) {
	n.mu.Lock()
	u, began, err := f.uploadLocked(n, from, exclusive)
	n.mu.Unlock()
	if began {
		f.nodes.hold(n)
	}
	return u, err
}

// uploadLocked is startWriting for who holds n.mu. Where it began one, the caller holds the node next.
func (f *fileSystem) uploadLocked(n *node, from origin, exclusive bool) (u *upload.File, began bool, err error) {
	if n.upload != nil {
		return n.upload, false, nil
	}
	target := upload.Target{Bucket: n.volume.bucket, Key: n.key(), Exclusive: exclusive}
	if n.etag != "" {
		target.Replaces = n.versionLocked()
	} else {
		target.Attributes = objstore.Attributes{ContentType: mime.TypeByExtension(path.Ext(n.name()))}
	}
	var base upload.Base
	if from == fromVersion {
		base = target.Replaces
	}
	if u, err = f.cfg.Uploads.Open(target, base); err != nil {
		return nil, false, err
	}
	u.OnStored(func(e objstore.Entry, err error) { f.stored(n, u, e, err) })
	if f.cfg.PosixMetadata {
		u.Describe(n.metadata)
	}
	n.upload, n.lost, n.cut, n.kept = u, false, 1, 0
	n.volume.tree.Hold(n.parent().key(), n.itemLocked())
	return u, true, nil
}

// stored takes over what became of a publication.
func (f *fileSystem) stored(n *node, u *upload.File, e objstore.Entry, err error) {
	n.mu.Lock()
	switch {
	case n.upload != u || n.removed:
	case err == nil:
		n.etag, n.size, n.confirmed, n.deferred, n.covers = e.ETag, e.Size, f.cfg.Now(), false, objstore.Version{}
		n.modTime, n.describedSince = n.confirmed.Unix(), n.confirmed
		n.learn(e)
		item := n.itemLocked()
		n.volume.tree.Learn(n.parent().key(), item)
		n.volume.tree.Hold(n.parent().key(), item)
	case isLost(err) && !n.lost:
		n.lost = true
		n.volume.tree.Release(n.parent().key(), n.name())
		n.volume.tree.Forget(n.parent().key(), n.name())
		defer f.nodes.retire(n) // who opens the name from now on gets what is there, though handles of this are open
	}
	n.mu.Unlock()
	f.settle(n)
}

// isLost tells that an upload will never be stored under its name: somebody else's content is there.
func isLost(err error) bool {
	return errors.Is(err, objstore.ErrChanged) || errors.Is(err, objstore.ErrExists)
}

// settle ends a node's writing when nobody has it open and nothing is left to be stored.
func (f *fileSystem) settle(n *node) {
	n.mu.Lock()
	u := n.upload
	if u == nil || n.opens > 0 || u.Changed() && !n.removed && !n.lost {
		n.mu.Unlock()
		return
	}
	n.upload = nil
	if !n.removed && !n.lost {
		n.volume.tree.Release(n.parent().key(), n.name())
	}
	n.mu.Unlock()
	u.Close()
	f.nodes.unhold(n)
}

// publish stores what was written of a node, and waits for it as long as ctx lets.
func (f *fileSystem) publish(ctx context.Context, n *node, u *upload.File) error {
	return f.publishBy(ctx, n, u.Publish)
}

// publishBy is publish by one of the upload's methods.
func (f *fileSystem) publishBy(ctx context.Context, n *node, publish func(context.Context) (objstore.Entry, error)) error {
	n.mu.Lock()
	cut := n.cut
	n.cut++
	n.mu.Unlock()
	if _, err := publish(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = max(n.kept, cut)
	return nil
}

// publishLater stores what was written of a node that nobody waits for. What fails is tried again by the uploads.
func (f *fileSystem) publishLater(n *node, u *upload.File) {
	f.watchers.Go(func() {
		if err := f.publish(f.life, n, u); err != nil && f.life.Err() == nil {
			f.answer("store after close", n.path(), err, errnoOf(err))
		}
	})
}

// abandonWriting is for the end of the mount: the uploads store what is left.
func (f *fileSystem) abandonWriting() {
	for _, n := range f.nodes.held() {
		n.mu.Lock()
		u := n.upload
		n.upload = nil
		n.mu.Unlock()
		if u != nil {
			u.Close()
		}
	}
}

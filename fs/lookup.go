package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/fs/names"
)

// maxName is the longest name of a directory entry, in bytes: NAME_MAX of Linux. Newer kernels pass on longer ones.
const maxName = 255

// Lookup answers what a name in a directory means. "Not found" is not given to the kernel to remember: package names
// remembers it, and knows since when.
func (f *fileSystem) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.counters.lookups.Add(1)
	parent := f.nodes.get(header.NodeId)
	switch {
	case parent == nil:
		return fuse.Status(syscall.ESTALE)
	case !parent.dir:
		return fuse.ENOTDIR
	case len(name) > maxName:
		return fuse.Status(syscall.ENAMETOOLONG)
	}
	since := f.cfg.Now()
	n, validity := f.recall(parent, name)
	if n != nil && f.isDescribed(n, since) {
		f.fillEntry(n, validity, out)
		return fuse.OK
	}
	r := f.begin(cancel, header.Pid)
	defer r.end()
	n, err := f.findDescribed(r, parent, name, n, since)
	if err != nil {
		return f.answer("lookup", parent.childPath(name), err, errnoOf(err))
	}
	f.fillEntry(n, f.validity(f.knownSince(n)), out)
	return fuse.OK
}

// findDescribed finds what a name means, and what its object's metadata says where that is wanted. known, if not nil,
// is what is recalled of it. A lookup of what is returned is counted.
func (f *fileSystem) findDescribed(ctx context.Context, parent *node, name string, known *node, since time.Time) (*node, error) {
	for again := false; ; again = true {
		n := known
		if known = nil; n == nil {
			v, item, err := f.find(ctx, parent, name)
			if err != nil {
				return nil, err
			}
			n = f.nodes.enter(parent, v, item)
		}
		err := f.describe(ctx, n, since)
		if err == nil {
			return n, nil
		}
		f.nodes.forget(n.id, 1)
		if again || !errors.Is(err, errStale) { // else it has changed meanwhile: what it means now is asked for
			return nil, err
		}
	}
}

// Forget takes back what lookups and readdirplus have given.
func (f *fileSystem) Forget(id, lookups uint64) { f.nodes.forget(id, lookups) }

// recall answers a lookup from what is known, and counts it: when it was confirmed lately, or when whatever the kernel
// asks next will find out. That is so for a file: its attributes are given for no time at all, so that stat asks for
// them again (and [fileSystem.GetAttr] asks the store), and open checks the version in any case. It saves what is most
// of the cost of a small file: without it, opening one whose name was last confirmed longer ago than the TTL takes a
// HEAD and a LIST before its GET.
func (f *fileSystem) recall(parent *node, name string) (n *node, validity time.Duration) {
	n = f.nodes.known(parent, name)
	mayDefer := !f.secondTries.expected(childName{parent.id, name}, f.cfg.Now())
	if parent.volume != nil {
		item, ok := parent.volume.tree.Recall(parent.key(), name)
		if ok && (n == nil || item.Confirmed.After(n.confirmedAt())) {
			return f.recallItem(parent, item, mayDefer)
		}
	}
	if n == nil {
		return nil, 0
	}
	validity = f.validity(n.confirmedAt())
	if validity <= 0 && !(mayDefer && n.deferCheck()) || !f.nodes.again(n) {
		return nil, 0
	}
	return n, validity
}

// recallItem answers a lookup from what the names know, which is younger than what any node knows.
func (f *fileSystem) recallItem(parent *node, item names.Item, mayDefer bool) (n *node, validity time.Duration) {
	validity = f.validity(item.Confirmed)
	if validity <= 0 && (item.Dir || !mayDefer) {
		return nil, 0
	}
	n = f.nodes.enter(parent, parent.volume, item)
	if validity <= 0 && !n.deferCheck() {
		f.nodes.forget(n.id, 1)
		return nil, 0
	}
	return n, validity
}

// find asks what a name in a directory means.
func (f *fileSystem) find(ctx context.Context, parent *node, name string) (*volume, names.Item, error) {
	if parent.volume == nil {
		at := f.cfg.Now()
		v, err := f.openBucket(ctx, name)
		return v, bucketItem(name, at), err
	}
	item, err := parent.volume.tree.Lookup(ctx, parent.key(), name)
	return parent.volume, item, err
}

// check makes sure that a file's name still means this version: by what was heard of the name within the TTL, else by
// asking. errStale when it does not mean it; then it is asked for anew when the kernel looks it up.
func (f *fileSystem) check(ctx context.Context, n *node) error {
	item, ok := n.volume.tree.Recall(n.parent().key(), n.name())
	if ok && f.fresh(item.Confirmed) {
		return f.compare(n, item)
	}
	return f.ask(ctx, n)
}

// ask is check by asking the store, whatever is known.
func (f *fileSystem) ask(ctx context.Context, n *node) error {
	item, err := n.volume.tree.Stat(ctx, n.item())
	if err != nil {
		return f.staleness(n, err)
	}
	return f.compare(n, item)
}

// compare notes that the store said that a node's name means item: errStale when that is not the node's version.
func (f *fileSystem) compare(n *node, item names.Item) error {
	if !n.means(item) {
		f.nodes.retire(n)
		return errStale
	}
	n.update(item)
	return nil
}

// staleness is errStale, and the name is forgotten, when err says that a file's version is gone; else it is err.
func (f *fileSystem) staleness(n *node, err error) error {
	if readErrno(err) != syscall.ESTALE {
		return err
	}
	if f.nodes.retire(n) { // else what is known of the name is younger
		n.volume.tree.Forget(n.parent().key(), n.name())
	}
	return errStale
}

// believes tells whether what follows a lookup need not ask again; see [secondTries].
func (f *fileSystem) believes(n *node) bool {
	return n.parent() != nil && f.secondTries.believes(n.at(), n.confirmedAt(), f.cfg.Now())
}

// refuse is the answer to a request by name that failed. After ESTALE the kernel will try again.
func (f *fileSystem) refuse(what string, n *node, err error) fuse.Status {
	errno := errnoOf(err)
	if errno == syscall.ESTALE {
		f.secondTries.expect(n.at(), f.cfg.Now())
	}
	return f.answer(what, n.path(), err, errno)
}

package fs

import "github.com/headrace/headrace/prefetch"

// open counts a handle and returns the file that all handles share.
func (n *node) open(files *prefetch.Prefetcher) *prefetch.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opens++
	return n.readsLocked(files)
}

// readsLocked is the file that the version is read by, which is another one once the version is another. The caller
// holds n.mu and has counted a handle.
func (n *node) readsLocked(files *prefetch.Prefetcher) *prefetch.File {
	if v := n.versionLocked(); n.file == nil || n.fileOf != v {
		if n.file != nil {
			n.file.Close()
		}
		n.file, n.fileOf = files.Open(v), v
	}
	return n.file
}

// isOpen tells whether there are open file handles.
func (n *node) isOpen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opens > 0
}

// close ends what one call of open began.
func (n *node) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens--; n.opens == 0 {
		n.file.Close()
		n.file = nil
	}
}

// beginIO decides how one more handle is read. b is a local file that it could pass through to, nil for none; the one
// to end is returned as spare when it is not used. id is what the handle passes through to. fresh means that it takes
// another node, unless stay, and that nothing was begun.
func (n *node) beginIO(b *backing, stay bool) (mode ioMode, id int32, spare *backing, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if mode, fresh = n.io.open(b != nil); fresh && stay {
		mode, fresh = n.io.openCached(), false
	}
	if mode != ioPassthrough {
		return mode, 0, b, fresh
	}
	if n.backing == nil {
		n.backing = b
	} else {
		spare = b
	}
	return mode, n.backing.id, spare, false
}

// endIO ends what beginIO began, and returns the local file that nobody passes through to any more.
func (n *node) endIO() (done *backing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.io.close() {
		done, n.backing = n.backing, nil
	}
	return done
}

// passesThrough tells whether open handles do.
func (n *node) passesThrough() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.io.mode == ioPassthrough
}

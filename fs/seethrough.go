package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// seeThrough has do come to its end whatever becomes of the request: what it has begun in the store must become known here. Who is killed is let go at once. do goes on
// with the request's context, which has ended then, until it asks the store for a change, and from there on with the mount's. It may use nothing of the kernel's request.
func (f *fileSystem) seeThrough(r *request, do func() fuse.Status) fuse.Status {
	answered := make(chan fuse.Status, 1)
	f.watchers.Go(func() { answered <- do() })
	select {
	case status := <-answered:
		return status
	case <-r.Done():
		return fuse.EINTR
	}
}

// seeEntry is seeThrough for what makes a name, with a lookup counted of its node, and tells the kernel of that. Who was let go has not heard of it: then the lookup is taken back.
func (f *fileSystem) seeEntry(r *request, out *fuse.EntryOut, do func() (*node, fuse.Status)) fuse.Status {
	type entry struct {
		made   *node
		status fuse.Status
	}
	answered := make(chan entry)
	f.watchers.Go(func() {
		made, status := do()
		select {
		case answered <- entry{made, status}:
		case <-r.Done():
			if status == fuse.OK {
				f.nodes.forget(made.id, 1)
			}
		}
	})
	select {
	case e := <-answered:
		if e.status == fuse.OK {
			f.fillEntry(e.made, f.validity(f.knownSince(e.made)), out)
		}
		return e.status
	case <-r.Done():
		return fuse.EINTR
	}
}

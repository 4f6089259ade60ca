package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// seeThrough has do come to its end whatever becomes of the request: what it has begun in the store must become known
// here. Who is killed is let go at once. do goes on with the request's context, which has ended then, until it asks the
// store for a change, and from there on with the mount's. It may use nothing of the kernel's request.
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

// seeEntry is seeThrough for what makes a name, with a lookup counted of its node, and tells the kernel of that. Who
// was let go has not heard of it: then the lookup is taken back.
func (f *fileSystem) seeEntry(r *request, out *fuse.EntryOut, do func() (*node, fuse.Status)) fuse.Status {
	return seeMade(f, r, do, func(made *node) {
		f.fillEntry(made, f.validity(f.knownSince(made)), out)
	}, func(made *node) {
		f.nodes.forget(made.id, 1)
	})
}

// seeMade is seeThrough for what do makes: tell tells the kernel of it, and back takes back what is counted of it where
// nobody has heard.
func seeMade[T any](f *fileSystem, r *request, do func() (T, fuse.Status), tell, back func(T)) fuse.Status {
	type result struct {
		made   T
		status fuse.Status
	}
	answered := make(chan result)
	f.watchers.Go(func() {
		made, status := do()
		select {
		case answered <- result{made, status}:
		case <-r.Done():
			if status == fuse.OK {
				back(made)
			}
		}
	})
	select {
	case a := <-answered:
		if a.status == fuse.OK {
			tell(a.made)
		}
		return a.status
	case <-r.Done():
		return fuse.EINTR
	}
}

package fs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// releaseFlockUnlock, in RELEASE's flags, says that the handle had a flock: FUSE_RELEASE_FLOCK_UNLOCK of the kernel's
// fuse.h, which the protocol library does not name.
const releaseFlockUnlock = 1 << 1

// lockOf translates the kernel's description of a lock on a node.
func lockOf(n *node, in *fuse.LkIn) (l lock, flock bool) {
	l = lock{node: n, first: in.Lk.Start, last: in.Lk.End, exclusive: in.Lk.Typ == syscall.F_WRLCK, owner: in.Owner, pid: in.Lk.Pid}
	flock = in.LkFlags&fuse.LK_FLOCK != 0
	if flock {
		l.first, l.last = 0, lockEnd
	}
	return l, flock
}

// GetLk answers fcntl(F_GETLK): what is in the way of a lock.
func (f *fileSystem) GetLk(_ <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	l, flock := lockOf(n, in)
	out.Lk = in.Lk
	blocking, blocked := f.locks.test(flock, l)
	if !blocked {
		out.Lk.Typ = syscall.F_UNLCK
		return fuse.OK
	}
	out.Lk = fuse.FileLock{Start: blocking.first, End: blocking.last, Typ: syscall.F_RDLCK, Pid: blocking.pid}
	if blocking.exclusive {
		out.Lk.Typ = syscall.F_WRLCK
	}
	return fuse.OK
}

// SetLk answers requests for locks that do not wait, and gives locks back.
func (f *fileSystem) SetLk(_ <-chan struct{}, in *fuse.LkIn) fuse.Status {
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	l, flock := lockOf(n, in)
	if in.Lk.Typ == syscall.F_UNLCK {
		f.locks.unlock(flock, l)
		return fuse.OK
	}
	taken, _, done := f.locks.try(flock, l)
	if !taken {
		done()
		return fuse.EAGAIN
	}
	f.noteLock(in, flock)
	return fuse.OK
}

// noteLock has a lock on a range go with the handle it was taken by. A flock goes by itself: the kernel says so in
// RELEASE.
func (f *fileSystem) noteLock(in *fuse.LkIn, flock bool) {
	if h, ok := f.files.get(in.Fh); ok && !flock {
		f.locks.takenBy(h, in.Owner)
	}
}

// SetLkw answers requests for locks that wait. Any signal ends the wait; the kernel restarts it where that is the
// custom.
func (f *fileSystem) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	if in.Lk.Typ == syscall.F_UNLCK {
		return f.SetLk(cancel, in)
	}
	n := f.nodes.get(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	r := f.begin(cancel, in.Pid)
	r.anySignal = true
	defer r.end()
	l, flock := lockOf(n, in)
	if err := f.locks.lock(r, flock, l); err != nil {
		return fuse.EINTR
	}
	f.noteLock(in, flock)
	return fuse.OK
}

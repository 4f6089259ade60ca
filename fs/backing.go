package fs

import (
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/headrace/headrace/objstore"
)

// backing is a local file that the kernel was told of, to read from it in place of this process.
type backing struct {
	id      int32
	release func() // of the lease on the local file
}

// passthrough tells the kernel of local files, where it can be told: from Linux 6.9 on, by who has CAP_SYS_ADMIN, and
// for file systems that can be read this way. It is found out by trying.
type passthrough struct {
	lease func(objstore.Version) (*os.File, func(), bool) // nil for nothing to lease

	mu     sync.Mutex // guards what is below
	kernel backingKernel
	off    bool // the kernel has refused
}

// backingKernel is the part of the protocol library that tells the kernel.
type backingKernel interface {
	RegisterBackingFd(*fuse.BackingMap) (int32, syscall.Errno)
	UnregisterBackingFd(int32) syscall.Errno
}

// minPassthrough is the size from which on passing through is worth telling the kernel: smaller files are read with one
// request, and stay in its page cache either way.
const minPassthrough = 1 << 20

// attach says how to reach the kernel, once it has agreed on what it can do.
func (p *passthrough) attach(k backingKernel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kernel = k
}

func (p *passthrough) reach() backingKernel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return nil
	}
	return p.kernel
}

// back gives a version's local file to the kernel; nil when there is none, or the kernel does not take it.
func (p *passthrough) back(v objstore.Version) *backing {
	k := p.reach()
	if p.lease == nil || k == nil || v.Size < minPassthrough {
		return nil
	}
	file, release, ok := p.lease(v)
	if !ok {
		return nil
	}
	id, errno := k.RegisterBackingFd(&fuse.BackingMap{Fd: int32(file.Fd())})
	if errno != 0 {
		release()
		if errno != syscall.EMFILE && errno != syscall.ENFILE && errno != syscall.ENOMEM {
			p.mu.Lock()
			p.off = true // it will not change its mind
			p.mu.Unlock()
		}
		return nil
	}
	return &backing{id: id, release: release}
}

// end takes a local file back. No handle may use it any more.
func (p *passthrough) end(b *backing) {
	if b == nil {
		return
	}
	p.mu.Lock()
	k := p.kernel // also when it takes no more
	p.mu.Unlock()
	if k != nil {
		_ = k.UnregisterBackingFd(b.id) // fails only when the mount is gone, and the registration with it
	}
	b.release()
}

package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
)

// fileSystem answers the kernel's requests.
type fileSystem struct {
	fuse.RawFileSystem // for the requests that have no method here: ENOSYS, after which the kernel asks no more

	cfg  Config
	dead func() bool // tells whether the kernel has ended the connection

	counters counters
}

func newFileSystem(cfg Config, dead func() bool) *fileSystem {
	return &fileSystem{RawFileSystem: fuse.NewDefaultRawFileSystem(), cfg: cfg, dead: dead}
}

// stop ends all waiting, now and from now on.
func (f *fileSystem) stop() {}

// close gives everything back. No request may be under way or come.
func (f *fileSystem) close() { f.stop() }

func (f *fileSystem) stats() Stats { return Stats{} }

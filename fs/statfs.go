package fs

import "github.com/hanwen/go-fuse/v2/fuse"

const (
	// spaceBytes is how much room statfs tells of: a pebibyte, more than anybody checks for before copying, and small
	// enough for programs that count in 4 KiB blocks with 53 bits.
	spaceBytes = 1 << 50
	spaceBlock = 4096
	spaceFiles = 1 << 40
)

// StatFs tells of a large constant space: a bucket has no end and does not say how full it is.
func (f *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{
		Bsize: spaceBlock, Frsize: spaceBlock,
		Blocks: spaceBytes / spaceBlock, Bfree: spaceBytes / spaceBlock, Bavail: spaceBytes / spaceBlock,
		Files: spaceFiles, Ffree: spaceFiles, NameLen: maxName,
	}
	return fuse.OK
}

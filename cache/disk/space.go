package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// DefaultSizePercent is how much of the free space the cache takes when nobody says how much, and
	// DefaultMinFreePercent how much of the disk it leaves free.
	DefaultSizePercent    = 80
	DefaultMinFreePercent = 5
	// indexReserve is what the index may grow by while one batch is written.
	indexReserve = 16 << 20
	// indexSetAside is what the index has of the limit at least, and indexGrowth what it may grow by in one commit, which
	// rewrites a page for each of some two thousand chunks that come or go; twice as large is as much as it gets by that.
	indexSetAside = 4 << 20
	indexGrowth   = 8 << 20
	// indexShare is the part of the limit that the index has at most: half. One that was made for a larger cache is made
	// smaller at the next start: see openIndex.
	indexShare = 2
)

// freeSpace is what a file system has for us, and its size, in bytes.
type freeSpace struct {
	free, total int64
}

func statfs(path string) (freeSpace, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return freeSpace{}, fmt.Errorf("disk: statfs %s: %w", path, err)
	}
	return freeSpace{free: int64(st.Bavail) * st.Bsize, total: int64(st.Blocks) * st.Bsize}, nil
}

// space is how much the chunks may take. It is a value.
type space struct {
	limit   int64 // bytes that the chunks and the index may take
	minFree int64 // bytes that the file system must have free
}

// newSpace takes what was asked for, 0 standing for the default, and what was chosen when the directory was first used.
// Who only looks has what its last owner had.
func newSpace(cfg Config, last totals, fs freeSpace) space {
	s := space{limit: cfg.Size, minFree: cfg.MinFree}
	if s.minFree == 0 && cfg.idle {
		s.minFree = last.minFree
	}
	if s.minFree == 0 {
		s.minFree = fs.total / 100 * DefaultMinFreePercent
	}
	if s.limit == 0 {
		s.limit = last.limit
	}
	if s.limit == 0 {
		s.limit = (fs.free + last.space) / 100 * DefaultSizePercent
	}
	return s
}

// ofIndex is how many bytes of the limit are not for chunks, as the index takes so many of the disk.
func (s space) ofIndex(takes int64) int64 {
	return max(indexSetAside, min(takes+min(takes, indexGrowth), s.limit/indexShare))
}

// left is how many bytes more may be written while used are taken of the limit; negative when some must go.
func (s space) left(used int64, fs freeSpace) int64 { return min(s.limit-used, s.spare(fs)) }

// spare is how many bytes more the file system has for us; negative when it should have some back.
func (s space) spare(fs freeSpace) int64 { return fs.free - s.minFree - indexReserve }

// used is how many bytes of the limit are taken, beside what is still to be given back.
func (t *Tier) used() int64 {
	return t.catalog.totals.space + t.space.ofIndex(t.catalog.index.space.Load())
}

// left is how many bytes more may be written once what was evicted is given back, beside those that are reserved.
func (t *Tier) left(reserved int64, fs freeSpace) int64 {
	used := t.used() + t.dir.trash.Load() + reserved
	for _, l := range t.leftovers {
		used += l.space
	}
	return t.space.left(used, freeSpace{fs.free - reserved + t.evictedSpace, fs.total})
}

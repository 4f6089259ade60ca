package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// DefaultSizePercent is how much of the free space the cache takes when nobody says how much, and DefaultMinFreePercent how much of the
	// disk it leaves free.
	DefaultSizePercent    = 80
	DefaultMinFreePercent = 5
	// indexReserve is what the index may grow by while one batch is written.
	indexReserve = 16 << 20
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
	limit   int64 // bytes that all chunks together may take
	minFree int64 // bytes that the file system must have free
}

// newSpace takes what was asked for, 0 standing for the default, and what was chosen when the directory was first used. Who only looks has what its last owner had.
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

// left is how many bytes more may be written while the chunks take used; negative when some must go.
func (s space) left(used int64, fs freeSpace) int64 { return min(s.limit-used, s.spare(fs)) }

// spare is how many bytes more the file system has for us; negative when it should have some back.
func (s space) spare(fs freeSpace) int64 { return fs.free - s.minFree - indexReserve }

// left is how many bytes more may be written once what was evicted is given back, beside those that are reserved.
func (t *Tier) left(reserved int64, fs freeSpace) int64 {
	used := t.catalog.totals.space + reserved
	for _, l := range t.leftovers {
		used += l.space
	}
	return t.space.left(used, freeSpace{fs.free - reserved + t.evictedSpace, fs.total})
}

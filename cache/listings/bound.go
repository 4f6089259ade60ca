package listings

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// diskBlock is in what pieces a file system gives room to files, as a rule.
const diskBlock = 4096

// onDisk is how much of the disk a file of a size takes.
func onDisk(size int64) int64 { return (size + diskBlock - 1) / diskBlock * diskBlock }

// kept is a file of a listing.
type kept struct {
	path string
	size int64
	used time.Time // when it was written or read last, as far as the file system says
}

// files are all listings, and those that are being written.
func (s *Store) files() (all []kept, err error) {
	err = filepath.WalkDir(s.dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == stateFile {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil // it is gone
		}
		used := info.ModTime()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if read := time.Unix(st.Atim.Unix()); read.After(used) {
				used = read
			}
		}
		all = append(all, kept{path, onDisk(info.Size()), used})
		return nil
	})
	return all, err
}

// shrink counts the listings, and removes those that were used longest ago, where they would take more than they may
// with n bytes more, until a quarter is free; and what those have left who were killed.
func (s *Store) shrink(n int64) error {
	before := int64(0)
	if err := s.exclusively(false, func(st *state) error { before = st.used; return nil }); err != nil {
		return err
	}
	all, err := s.files()
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	total := int64(0)
	for _, f := range all {
		total += f.size
	}
	over := total+n > s.cfg.Limit
	for _, f := range all {
		gone, err := false, error(nil)
		if isSaving(f.path) {
			gone, err = removeLeft(f.path)
		} else if over && total+n > s.cfg.Limit/4*3 {
			gone, err = true, os.Remove(f.path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if gone {
			total -= f.size
		}
	}
	s.recount.Store(false)
	return s.exclusively(false, func(st *state) error {
		st.used = max(total+st.used-before, 0) // with what others have kept and removed meanwhile
		return nil
	})
}

// purge removes all listings, and has those under way be refused.
func (s *Store) purge() error {
	err := s.exclusively(false, func(st *state) error {
		st.changeAll(s.cfg.Uptime())
		st.used = 0
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(s.cfg.Dir, markerFile)); err != nil {
			return err // the disk is not there
		}
		return nil
	}
	if err != nil {
		return err
	}
	all, err := s.files()
	if err != nil {
		return err
	}
	dirs, saving := make(map[string]bool), int64(0)
	for _, f := range all {
		if isSaving(f.path) {
			left, err := removeLeft(f.path)
			if err != nil {
				return err
			}
			if !left { // somebody is writing it, to be refused
				saving += f.size
			}
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		dirs[filepath.Dir(f.path)] = true
	}
	for dir := range dirs {
		if err := syncDirectory(dir); err != nil {
			return err
		}
	}
	return s.exclusively(false, func(st *state) error {
		st.used += saving
		return nil
	})
}

// Usage is how many listings a cache directory has, and the bytes of the disk that they take.
func Usage(dir string) (listings int, bytes int64, err error) {
	all, err := Open(Config{Dir: dir}).files()
	for _, f := range all {
		bytes += f.size
		if !isSaving(f.path) {
			listings++
		}
	}
	return listings, bytes, err
}

// Purge removes all listings of a cache directory, also while processes use it.
func Purge(dir string) error { return Open(Config{Dir: dir}).purge() }

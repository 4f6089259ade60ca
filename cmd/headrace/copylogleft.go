package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
)

// leftUpload is one that a process that was killed has left, or was about to begin when ID is empty.
type leftUpload struct {
	Endpoint, Bucket, Key, ID string
	At                        time.Time
}

// leftUploads are those of a file, by their numbers.
func leftUploads(file *os.File) (map[int]leftUpload, error) {
	left := make(map[int]leftUpload)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var line copyLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // what a full disk has left of a line
		}
		u, known := left[line.Number]
		switch {
		case line.Ended:
			delete(left, line.Number)
		case known:
			u.ID = line.ID
			left[line.Number] = u
		default:
			left[line.Number] = leftUpload{line.Endpoint, line.Bucket, string(line.Key), line.ID, line.At}
		}
	}
	return left, lines.Err()
}

// giveUpLeft aborts the uploads that processes which were killed have left in buckets, and counts them. doubt is told
// of one whose id nobody has heard of, once: it is left alone.
func (l *copyLog) giveUpLeft(ctx context.Context, buckets []objstore.Bucket, doubt func(leftUpload)) (given int, err error) {
	if l.dir == "" {
		return 0, nil
	}
	names, err := filepath.Glob(filepath.Join(l.dir, "*"+copyLogSuffix))
	alone := l.alone()
	for _, name := range names {
		if !alone && (l.boot == "" || !strings.HasSuffix(name, "."+l.boot+copyLogSuffix)) {
			continue // its process may live on another machine
		}
		n, failed := giveUpIn(ctx, name, buckets, doubt)
		given, err = given+n, errors.Join(err, failed)
	}
	return given, err
}

// giveUpIn is giveUpLeft for one file, and removes it when nothing of it is left.
func giveUpIn(ctx context.Context, name string, buckets []objstore.Bucket, doubt func(leftUpload)) (given int, err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // its process has come to its end
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return 0, nil // its process lives
	}
	left, err := leftUploads(file)
	if err != nil {
		return 0, err
	}
	again := &copyLog{file: file}
	for _, b := range buckets {
		b = asStored(object{bucket: b}).bucket
		for number, u := range left {
			if u.Endpoint != b.Endpoint() || u.Bucket != b.Name() {
				continue
			}
			switch {
			case u.ID == "":
				doubt(u)
			default:
				if failed := b.AbortUpload(ctx, u.Key, u.ID); failed != nil {
					err = errors.Join(err, failed)
					continue
				}
				given++
			}
			delete(left, number)
			err = errors.Join(err, again.write(copyLine{Number: number, Ended: true}))
		}
	}
	if len(left) == 0 {
		if removed := os.Remove(name); !errors.Is(removed, os.ErrNotExist) { // its process has come to its end in this moment
			err = errors.Join(err, removed)
		}
	}
	return given, err
}

// onLocalDisk tells whether a directory is in a file system that one machine has to itself, so that a lock of a file
// there is a lock for everybody. One that is not known is not.
func onLocalDisk(dir string) bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false
	}
	return slices.Contains([]int64{
		unix.EXT4_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, zfsMagic,
	}, int64(fs.Type))
}

// zfsMagic is what statfs(2) tells of ZFS, which is not in the kernel's own list.
const zfsMagic = 0x2fc12fc1

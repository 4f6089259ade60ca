package fs

import "hash/fnv"

// rootIno is the st_ino of the root of several buckets: what the roots of most file systems have.
const rootIno = 1

// inoOf computes an st_ino from what is named, so that it is the same in readdir and stat, for all versions and for all
// mounts: 64 bits of FNV-1a over bucket, kind and key. Two names of ten million share one with a chance of 1 in
// 400,000, and then nothing happens but that a program that compares inode numbers takes them for hard links, which
// st_nlink denies.
func inoOf(bucket string, dir bool, key string) uint64 {
	h := fnv.New64a()
	kind := "\x00file\x00"
	if dir {
		kind = "\x00dir\x00"
	}
	for _, part := range []string{bucket, kind, key} {
		_, _ = h.Write([]byte(part)) // never fails
	}
	// 0 means "no inode", 1 is the root's, and the highest is the protocol library's.
	if ino := h.Sum64(); ino > rootIno && ino != ^uint64(0) {
		return ino
	}
	return rootIno + 1
}

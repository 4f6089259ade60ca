package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"github.com/headrace/headrace/objstore"
)

// castagnoli is CRC32C, which processors compute at 10 GB/s and more.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// versionHash stands for a version in the index: 128 bits of SHA-256 over its fields, each with its length. That two
// versions share one does not happen by chance, and ETags and keys of somebody's choice do not make it happen.
type versionHash [16]byte

func hashVersion(v objstore.Version) versionHash {
	h := sha256.New()
	var length [8]byte
	for _, field := range []string{v.Endpoint, v.Bucket, v.Key, v.ETag} {
		binary.BigEndian.PutUint64(length[:], uint64(len(field)))
		h.Write(length[:])
		h.Write([]byte(field))
	}
	binary.BigEndian.PutUint64(length[:], uint64(v.Size))
	h.Write(length[:])
	return versionHash(h.Sum(nil)[:len(versionHash{})])
}

func parseVersionHash(b []byte) (h versionHash, ok bool) {
	if len(b) != len(h) {
		return h, false
	}
	return versionHash(b), true
}

// hashOf is what stands for a chunk in its popularity: the same in every process, so that popularity survives a
// restart.
func hashOf(v versionHash, chunk int64) uint64 {
	// The finaliser of MurmurHash3: chunks of one version differ in their low bits only.
	x := binary.LittleEndian.Uint64(v[:]) + uint64(chunk)*0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

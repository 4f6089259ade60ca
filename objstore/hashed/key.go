package hashed

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// hashLen is how many hex digits of the hash stand before the key.
const hashLen = 6

// hexDigits are in the order of bytes.
const hexDigits = "0123456789abcdef"

// Encode is the key under which the object of a plain key is stored.
func Encode(key string) string {
	sum := md5.Sum([]byte(key)) // which is no secret and need not be: it spreads
	var digits [2 * md5.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:hashLen]) + "/" + key
}

// Decode is the plain key of a stored one; false for a key that is not in the form.
func Decode(stored string) (key string, ok bool) {
	if len(stored) <= hashLen || stored[hashLen] != '/' {
		return "", false
	}
	key = stored[hashLen+1:]
	return key, strings.HasPrefix(Encode(key), stored[:hashLen])
}

// shards is into how many listings the index is divided: by the first two hex digits.
const shards = 256

// shardPrefix is what the stored keys of a shard begin with.
func shardPrefix(shard int) string {
	return string([]byte{hexDigits[shard>>4], hexDigits[shard&15]})
}

// shardOf is the shard of a plain key.
func shardOf(key string) int {
	sum := md5.Sum([]byte(key))
	return int(sum[0])
}

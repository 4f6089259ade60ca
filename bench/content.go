package bench

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
)

// pageSize is how often content is stamped.
const pageSize = 4096

// content makes and recognises the bytes of this run's objects: noise that no store can compress, with a stamp of key
// and offset at the start of each page. A benchmark of wrong bytes would be none.
type content struct {
	seed  maphash.Seed
	noise []byte
}

func newContent() *content {
	c := &content{seed: maphash.MakeSeed(), noise: make([]byte, mib)}
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(c.noise) // never fails
	return c
}

// fill writes the bytes of key from off on, which is a multiple of the page size.
func (c *content) fill(p []byte, key string, off int64) {
	for n := 0; n < len(p); n += len(c.noise) {
		copy(p[n:], c.noise)
	}
	for n := 0; n+8 <= len(p); n += pageSize {
		binary.LittleEndian.PutUint64(p[n:], c.stamp(key, off+int64(n)))
	}
}

// check looks at the first stamp in p, which was read from off.
func (c *content) check(p []byte, key string, off int64) error {
	n := -off & (pageSize - 1)
	if n+8 > int64(len(p)) {
		return nil
	}
	if got := binary.LittleEndian.Uint64(p[n:]); got != c.stamp(key, off+n) {
		return fmt.Errorf("bench: wrong bytes in %s at %d", key, off+n)
	}
	return nil
}

func (c *content) stamp(key string, off int64) uint64 {
	return maphash.String(c.seed, key) ^ uint64(off)*0x9e3779b97f4a7c15
}

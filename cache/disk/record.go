package disk

import (
	"encoding/binary"
	"math/bits"

	"github.com/headrace/headrace/objstore"
)

// The units are the cache's: see package cache.
const (
	ChunkSize      = 16 << 20 // bytes
	BlockSize      = 1 << 20  // bytes
	blocksPerChunk = ChunkSize / BlockSize

	// diskBlock is the unit in which file systems give out space, and in which direct I/O goes.
	diskBlock = 4 << 10
)

// Blocks is a set of blocks of one chunk, bit i for block i.
type Blocks uint16

// Has tells whether block i is in the set.
func (b Blocks) Has(i int) bool { return b>>i&1 == 1 }

func (b Blocks) count() int { return bits.OnesCount16(uint16(b)) }

// chunkKey names a chunk in the index: the number of its version, and which of the version's chunks it is.
type chunkKey struct {
	id    uint64
	index uint32
}

func (k chunkKey) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, k.id) // big endian: the index is in the order of ids and chunks
	return binary.BigEndian.AppendUint32(b, k.index)
}

func parseChunkKey(b []byte) (chunkKey, bool) {
	if len(b) != 12 {
		return chunkKey{}, false
	}
	return chunkKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}, true
}

// chunkRecord is what the index says of a chunk.
type chunkRecord struct {
	present Blocks
	sums    [blocksPerChunk]uint32 // CRC32C, of those present
}

func (r chunkRecord) bytes() []byte {
	b := binary.LittleEndian.AppendUint16(make([]byte, 0, 2+4*blocksPerChunk), uint16(r.present))
	for i, sum := range r.sums {
		if r.present.Has(i) {
			b = binary.LittleEndian.AppendUint32(b, sum)
		}
	}
	return b
}

func parseChunkRecord(b []byte) (r chunkRecord, ok bool) {
	if len(b) < 2 {
		return r, false
	}
	r.present = Blocks(binary.LittleEndian.Uint16(b))
	if b = b[2:]; len(b) != 4*r.present.count() || r.present == 0 {
		return chunkRecord{}, false
	}
	for i := range r.sums {
		if r.present.Has(i) {
			r.sums[i] = binary.LittleEndian.Uint32(b)
			b = b[4:]
		}
	}
	return r, true
}

// versionRecord is what the index says of a version.
type versionRecord struct {
	id      uint64 // names its data file; never used again
	pinned  bool
	chunks  uint32   // of which something is present
	stored  int64    // bytes present, as space accounts for them
	present int64    // bytes present
	readers []uint64 // who may read it, as far as is known: see [Tier.Admits]
	version objstore.Version
}

func (r *versionRecord) whole() bool { return r.present == r.version.Size }

func (r *versionRecord) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, r.id)
	pinned := byte(0)
	if r.pinned {
		pinned = 1
	}
	b = append(b, pinned)
	for _, n := range []int64{int64(r.chunks), r.stored, r.present, r.version.Size, int64(len(r.readers))} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, reader := range r.readers {
		b = binary.LittleEndian.AppendUint64(b, reader)
	}
	for _, s := range []string{r.version.Endpoint, r.version.Bucket, r.version.Key, r.version.ETag} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func parseVersionRecord(b []byte) (r versionRecord, ok bool) {
	if len(b) < 9 {
		return r, false
	}
	r.id, r.pinned, b = binary.BigEndian.Uint64(b), b[8] == 1, b[9:]
	ok = true
	number := func() int64 {
		n, width := binary.Uvarint(b)
		if width <= 0 || int64(n) < 0 {
			ok = false
			return 0
		}
		b = b[width:]
		return int64(n)
	}
	r.chunks, r.stored, r.present, r.version.Size = uint32(number()), number(), number(), number()
	for n := number(); ok && n > 0; n-- {
		if len(b) < 8 {
			return versionRecord{}, false
		}
		r.readers, b = append(r.readers, binary.LittleEndian.Uint64(b)), b[8:]
	}
	for _, s := range []*string{&r.version.Endpoint, &r.version.Bucket, &r.version.Key, &r.version.ETag} {
		n := number()
		if !ok || n > int64(len(b)) {
			return versionRecord{}, false
		}
		*s, b = string(b[:n]), b[n:]
	}
	return r, ok && len(b) == 0
}

// chunkLength is how many bytes a version has in a chunk.
func chunkLength(size int64, chunk uint32) int {
	return int(min(ChunkSize, size-int64(chunk)*ChunkSize))
}

// ChunkLength is chunkLength for those outside, of a chunk that v has.
func ChunkLength(v objstore.Version, chunk int64) int { return chunkLength(v.Size, uint32(chunk)) }

// blockLength is how many bytes a chunk of a length has in a block.
func blockLength(length, block int) int { return min(BlockSize, length-block*BlockSize) }

// allBlocks are the blocks of a chunk of a length.
func allBlocks(length int) Blocks {
	return Blocks(1<<((length+BlockSize-1)/BlockSize) - 1)
}

// weigh is how many bytes blocks of a chunk have, and how much of the disk they take.
func weigh(length int, blocks Blocks) (bytes, space int64) {
	for i := range blocksPerChunk {
		if blocks.Has(i) {
			n := int64(blockLength(length, i))
			bytes += n
			space += (n + diskBlock - 1) / diskBlock * diskBlock
		}
	}
	return bytes, space
}

package disk

import (
	"hash/crc32"
	"sync"
)

// blockPiece says where a block is in a data file.
type blockPiece struct {
	chunk  int64
	length int // bytes in the chunk
	block  int // of the chunk
}

// readSummed reads b, which lies at an offset in the chunk and in one block, and all the rest of the block, and returns
// the block's checksum.
func (d *dataFile) readSummed(b []byte, off int, p blockPiece) (sum uint32, err error) {
	// What lies around b goes through a small buffer, for the checksum alone.
	start := p.block * BlockSize
	end := start + blockLength(p.length, p.block)
	if sum, err = d.sum(0, p.chunk, start, off); err != nil {
		return 0, err
	}
	if err = d.readAt(b, p.chunk*ChunkSize+int64(off)); err != nil {
		return 0, err
	}
	return d.sum(crc32.Update(sum, castagnoli, b), p.chunk, off+len(b), end)
}

// sum goes on with a checksum over bytes [from, to) of a chunk.
func (d *dataFile) sum(sum uint32, chunk int64, from, to int) (uint32, error) {
	if from == to {
		return sum, nil
	}
	buffer := sumBuffers.Get().(*[]byte)
	defer sumBuffers.Put(buffer)
	for from < to {
		b := (*buffer)[:min(len(*buffer), to-from)]
		if err := d.readAt(b, chunk*ChunkSize+int64(from)); err != nil {
			return 0, err
		}
		sum, from = crc32.Update(sum, castagnoli, b), from+len(b)
	}
	return sum, nil
}

// sumBuffers are what is read for nothing but its checksum: 64 KiB for each reader at the same time.
var sumBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

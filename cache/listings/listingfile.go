package listings

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/headrace/headrace/objstore/packed"
)

const (
	// fileMagic ends the file of a listing, and says in which form it is.
	fileMagic   = "headrace names 1"
	trailerSize = 4 + 4 + len(fileMagic)
	// maxBlock and maxFooter bound what is read at once of a file that may be damaged. A block has what a page of the
	// store had, a thousand names of at most 1,024 bytes as a rule.
	maxBlock  = 16 << 20
	maxFooter = 64 << 20
)

var errDamaged = errors.New("the file is damaged")

// footer is what stands behind a listing's blocks.
//
//	blocks    what was added, one after another
//	footer    see bytes
//	trailer   the footer's length and CRC32C, and fileMagic
type footer struct {
	owner  string // which store and bucket
	dir    string
	reader uint64 // whose credentials have asked
	boot   string // during which uptime counts
	asked  time.Time
	uptime time.Duration // since boot, when the store was asked
	blocks []blockPlace
}

// blockPlace is where a block is, and which names it may have.
type blockPlace struct {
	off, size   int64
	sum         uint32
	first, last string // in the order of bytes
}

// has tells whether a name may be in the block; "" is any.
func (b blockPlace) has(name string) bool { return name == "" || b.first <= name && name <= b.last }

// bytes is the footer with its trailer.
func (f *footer) bytes() []byte {
	var b []byte
	for _, s := range []string{f.owner, f.dir, f.boot} {
		b = packed.AppendText(b, s)
	}
	for _, n := range []uint64{f.reader, uint64(f.asked.UnixNano()), uint64(f.uptime), uint64(len(f.blocks))} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for _, p := range f.blocks {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.off)), uint64(p.size))
		b = packed.AppendText(packed.AppendText(binary.LittleEndian.AppendUint32(b, p.sum), p.first), p.last)
	}
	size, sum := uint32(len(b)), crc32.Checksum(b, castagnoli)
	return append(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, size), sum), fileMagic...)
}

// readFooter reads what stands behind the blocks of a file of a size.
func readFooter(file io.ReaderAt, size int64) (*footer, error) {
	trailer := make([]byte, trailerSize)
	if size < int64(trailerSize) {
		return nil, errDamaged
	}
	if _, err := file.ReadAt(trailer, size-int64(trailerSize)); err != nil && err != io.EOF {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(trailer))
	if string(trailer[8:]) != fileMagic || length > min(maxFooter, size-int64(trailerSize)) {
		return nil, errDamaged
	}
	b := make([]byte, length)
	end := size - int64(trailerSize) - length
	if _, err := file.ReadAt(b, end); err != nil && err != io.EOF {
		return nil, err
	}
	if crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(trailer[4:]) {
		return nil, errDamaged
	}
	return parseFooter(b, end)
}

// parseFooter takes a footer apart whose blocks end at an offset.
func parseFooter(b []byte, end int64) (*footer, error) {
	r := packed.NewReader(b)
	f := &footer{owner: r.Text(), dir: r.Text(), boot: r.Text(), reader: r.Uint64()}
	f.asked, f.uptime = time.Unix(0, int64(r.Uint64())), time.Duration(r.Uint64())
	for n := r.Uint64(); n > 0 && !r.Bad(); n-- {
		p := blockPlace{off: int64(r.Number()), size: int64(r.Number()), sum: r.Uint32(), first: r.Text(), last: r.Text()}
		if p.off < 0 || p.size < 0 || p.size > maxBlock || p.off > end-p.size {
			return nil, errDamaged
		}
		f.blocks = append(f.blocks, p)
	}
	if !r.Whole() {
		return nil, errDamaged
	}
	return f, nil
}

// read reads a block.
func (b blockPlace) read(file io.ReaderAt) ([]byte, error) {
	data := make([]byte, b.size)
	if _, err := file.ReadAt(data, b.off); err != nil && err != io.EOF {
		return nil, err
	}
	if crc32.Checksum(data, castagnoli) != b.sum {
		return nil, errDamaged
	}
	return data, nil
}

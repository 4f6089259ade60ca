package listings

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"
)

const (
	// fileMagic ends the file of a listing, and says in which form it is.
	fileMagic   = "headrace names 1"
	trailerSize = 4 + 4 + len(fileMagic)
	// maxBlock and maxFooter bound what is read at once of a file that may be damaged. A block has what a page of the store had, a thousand names of at most 1,024 bytes as a rule.
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

func appendText(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

// bytes is the footer with its trailer.
func (f *footer) bytes() []byte {
	var b []byte
	for _, s := range []string{f.owner, f.dir, f.boot} {
		b = appendText(b, s)
	}
	for _, n := range []uint64{f.reader, uint64(f.asked.UnixNano()), uint64(f.uptime), uint64(len(f.blocks))} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for _, p := range f.blocks {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.off)), uint64(p.size))
		b = appendText(appendText(binary.LittleEndian.AppendUint32(b, p.sum), p.first), p.last)
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
	r := reader{rest: b}
	f := &footer{owner: r.text(), dir: r.text(), boot: r.text(), reader: r.fixed(8)}
	f.asked, f.uptime = time.Unix(0, int64(r.fixed(8))), time.Duration(r.fixed(8))
	for n := r.fixed(8); n > 0 && !r.bad; n-- {
		p := blockPlace{off: int64(r.number()), size: int64(r.number()), sum: uint32(r.fixed(4)), first: r.text(), last: r.text()}
		if p.off < 0 || p.size < 0 || p.size > maxBlock || p.off > end-p.size {
			return nil, errDamaged
		}
		f.blocks = append(f.blocks, p)
	}
	if r.bad || len(r.rest) > 0 {
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

// reader takes bytes apart. Once something is missing all else is, too.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad = r.bad || n > uint64(len(r.rest)); r.bad {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// fixed is a number of 4 or 8 bytes.
func (r *reader) fixed(size uint64) uint64 {
	b := r.take(size)
	switch {
	case b == nil:
		return 0
	case size == 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *reader) text() string { return string(r.take(r.number())) }

// Package packed puts texts and numbers one after another into few bytes, and takes them apart again, also where the
// bytes may be damaged. It is what the index of hashed keys and the listings on the disk are made of; what the bytes
// mean is theirs.
package packed

import "encoding/binary"

// AppendText appends a text with its length before it.
func AppendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// CommonLen is how many bytes two texts begin with that are the same: of sorted keys, only what is behind them need be
// kept.
func CommonLen(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Reader takes bytes apart. Once something is missing, or is no number, all that follows is missing too, and reads as
// zero.
type Reader struct {
	rest []byte
	bad  bool
}

// NewReader reads data, which must not change meanwhile.
func NewReader(data []byte) *Reader { return &Reader{rest: data} }

// Bad tells whether something was missing.
func (r *Reader) Bad() bool { return r.bad }

// Left is how many bytes were not read yet.
func (r *Reader) Left() int { return len(r.rest) }

// Whole tells whether nothing was missing, and nothing is left.
func (r *Reader) Whole() bool { return !r.bad && len(r.rest) == 0 }

// Bytes are the next n bytes, not copied; nil when there are fewer.
func (r *Reader) Bytes(n uint64) []byte {
	if r.bad = r.bad || n > uint64(len(r.rest)); r.bad {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Text is what [AppendText] has appended.
func (r *Reader) Text() string { return string(r.Bytes(r.Number())) }

// Number is what [binary.AppendUvarint] has appended.
func (r *Reader) Number() uint64 {
	v, n := binary.Uvarint(r.rest)
	return passed(r, v, n)
}

// Signed is what [binary.AppendVarint] has appended.
func (r *Reader) Signed() int64 {
	v, n := binary.Varint(r.rest)
	return passed(r, v, n)
}

// passed goes past the n bytes of a number; none is no number.
func passed[T int64 | uint64](r *Reader, v T, n int) T {
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Byte is a byte.
func (r *Reader) Byte() byte {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint32 is a number of four bytes, the least first.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 is a number of eight bytes, the least first.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

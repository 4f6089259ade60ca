package hashed

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// blockKeys is how many keys follow each other with only what differs from the one before: what is decoded to find one.
const blockKeys = 32

// segment is a sorted run of entries in little memory: of a key only what differs from the one before, an ETag that is an MD5 in its 16 bytes. It never changes.
type segment struct {
	data   []byte
	blocks []uint32 // where in data each block begins; its first key is whole
	count  int
}

// The forms of an ETag, in the lower bits of an entry's flags.
const (
	etagText  = 0 // as it is
	etagMD5   = 1 // 16 bytes
	etagParts = 2 // 16 bytes, and the number of parts
	etagForm  = 3 // the bits
	hasClass  = 4 // a storage class follows
)

// newSegment packs entries, which are sorted by key.
func newSegment(entries []objstore.Entry) *segment {
	s := &segment{count: len(entries)}
	last := ""
	for i, e := range entries {
		shared := 0
		if i%blockKeys == 0 {
			s.blocks = append(s.blocks, uint32(len(s.data)))
		} else {
			shared = commonLen(last, e.Key)
		}
		s.data = binary.AppendUvarint(s.data, uint64(shared))
		s.data = appendText(s.data, e.Key[shared:])
		s.data = appendValue(s.data, e)
		last = e.Key
	}
	s.data = slices.Clip(s.data)
	return s
}

func commonLen(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

func appendValue(to []byte, e objstore.Entry) []byte {
	sum, parts, form := splitETag(e.ETag)
	flags := form
	if e.StorageClass != "" {
		flags |= hasClass
	}
	to = append(to, flags)
	switch form {
	case etagText:
		to = appendText(to, e.ETag)
	case etagMD5:
		to = append(to, sum[:]...)
	case etagParts:
		to = binary.AppendUvarint(append(to, sum[:]...), parts)
	}
	if flags&hasClass != 0 {
		to = appendText(to, e.StorageClass)
	}
	to = binary.AppendUvarint(to, uint64(e.Size))
	return binary.AppendVarint(to, e.ModTime.UnixMilli())
}

// splitETag takes an ETag apart that can be put together again byte for byte.
func splitETag(etag string) (sum [16]byte, parts uint64, form byte) {
	digits, count, multipart := strings.Cut(etag, "-")
	if len(digits) != 2*len(sum) || strings.ToLower(digits) != digits {
		return sum, 0, etagText
	}
	if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
		return sum, 0, etagText
	}
	if !multipart {
		return sum, 0, etagMD5
	}
	parts, err := strconv.ParseUint(count, 10, 32)
	if err != nil || strconv.FormatUint(parts, 10) != count {
		return sum, 0, etagText
	}
	return sum, parts, etagParts
}

// bytes is how much memory the segment takes.
func (s *segment) bytes() int64 { return int64(len(s.data)) + 4*int64(len(s.blocks)) }

// cursor goes through a segment.
type cursor struct {
	segment *segment
	next    int // where in data the next entry begins
	left    int // entries that follow
	key     []byte
	entry   objstore.Entry // of the present key, without it
}

// seek goes to the first key that is not before key; false when there is none.
func (c *cursor) seek(key string) bool {
	s := c.segment
	block := sort.Search(len(s.blocks), func(i int) bool {
		first, _ := readText(s.data[s.blocks[i]+1:]) // after the shared length, which is 0
		return string(first) > key
	})
	block = max(block-1, 0)
	if len(s.blocks) == 0 {
		return false
	}
	c.next, c.left, c.key = int(s.blocks[block]), s.count-block*blockKeys, c.key[:0]
	for c.advance() {
		if string(c.key) >= key {
			return true
		}
	}
	return false
}

// advance goes to the next key; false at the end.
func (c *cursor) advance() bool {
	if c.left == 0 {
		return false
	}
	c.left--
	data := c.segment.data[c.next:]
	before := len(data)
	shared, n := binary.Uvarint(data)
	suffix, data := readText(data[n:])
	c.key = append(c.key[:shared], suffix...)
	data = c.readValue(data)
	c.next += before - len(data)
	return true
}

func readText(data []byte) (text, rest []byte) {
	length, n := binary.Uvarint(data)
	return data[n : n+int(length)], data[n+int(length):]
}

func (c *cursor) readValue(data []byte) []byte {
	flags := data[0]
	data = data[1:]
	e := objstore.Entry{}
	switch flags & etagForm {
	case etagText:
		var text []byte
		text, data = readText(data)
		e.ETag = string(text)
	case etagMD5:
		e.ETag, data = hex.EncodeToString(data[:16]), data[16:]
	case etagParts:
		sum := hex.EncodeToString(data[:16])
		parts, n := binary.Uvarint(data[16:])
		e.ETag, data = sum+"-"+strconv.FormatUint(parts, 10), data[16+n:]
	}
	if flags&hasClass != 0 {
		var text []byte
		text, data = readText(data)
		e.StorageClass = string(text)
	}
	size, n := binary.Uvarint(data)
	modified, m := binary.Varint(data[n:])
	e.Size, e.ModTime = int64(size), time.UnixMilli(modified)
	c.entry = e
	return data[n+m:]
}

// present is the entry the cursor is at.
func (c *cursor) present() objstore.Entry {
	e := c.entry
	e.Key = string(c.key)
	return e
}

// entries are all of the segment.
func (s *segment) entries() []objstore.Entry {
	all := make([]objstore.Entry, 0, s.count)
	c := cursor{segment: s}
	for ok := c.seek(""); ok; ok = c.advance() {
		all = append(all, c.present())
	}
	return all
}

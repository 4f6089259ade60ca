package hashed

import (
	"encoding/binary"
	"slices"
	"sort"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/packed"
)

// blockKeys is how many keys follow each other with only what differs from the one before: what is decoded to find one.
const blockKeys = 32

// segment is a sorted run of entries in little memory: of a key only what differs from the one before, an ETag that is
// an MD5 in its 16 bytes. It never changes.
type segment struct {
	data   []byte
	blocks []uint32 // where in data each block begins; its first key is whole
	count  int
}

// An entry's flags.
const (
	etagForm = 3 // the bits of an objstore.ETagForm
	hasClass = 4 // a storage class follows
)

// packer makes a segment of entries that come in the order of their keys. The zero value is ready.
type packer struct {
	segment segment
	last    string
}

func (p *packer) add(e objstore.Entry) {
	s, shared := &p.segment, 0
	if s.count%blockKeys == 0 {
		s.blocks = append(s.blocks, uint32(len(s.data)))
	} else {
		shared = packed.CommonLen(p.last, e.Key)
	}
	s.data = binary.AppendUvarint(s.data, uint64(shared))
	s.data = packed.AppendText(s.data, e.Key[shared:])
	s.data = appendValue(s.data, e)
	s.count++
	p.last = e.Key
}

func (p *packer) done() *segment {
	p.segment.data, p.segment.blocks = slices.Clone(p.segment.data), slices.Clone(p.segment.blocks) // without the room to grow
	return &p.segment
}

// newSegment packs entries, which are sorted by key.
func newSegment(entries []objstore.Entry) *segment {
	var p packer
	for _, e := range entries {
		p.add(e)
	}
	return p.done()
}

// joined packs what several runs have, each key of which is in one of them only.
func joined(runs []*segment) *segment {
	if len(runs) == 1 {
		return runs[0]
	}
	walkers := make([]*walker, len(runs))
	for i, s := range runs {
		walkers[i] = &walker{cursor: cursor{segment: s}}
	}
	var p packer
	m := newMerge(walkers, "")
	for _, ok := m.key(); ok; _, ok = m.key() {
		p.add(m.entry())
		m.next()
	}
	return p.done()
}

func appendValue(to []byte, e objstore.Entry) []byte {
	sum, parts, form := objstore.SplitETag(e.ETag)
	flags := byte(form)
	if e.StorageClass != "" {
		flags |= hasClass
	}
	to = append(to, flags)
	switch form {
	case objstore.ETagText:
		to = packed.AppendText(to, e.ETag)
	case objstore.ETagMD5:
		to = append(to, sum[:]...)
	case objstore.ETagParts:
		to = binary.AppendUvarint(append(to, sum[:]...), parts)
	}
	if flags&hasClass != 0 {
		to = packed.AppendText(to, e.StorageClass)
	}
	to = binary.AppendUvarint(to, uint64(e.Size))
	return binary.AppendVarint(to, e.ModTime.UnixMilli())
}

// bytes is how much memory the segment takes.
func (s *segment) bytes() int64 { return int64(len(s.data)) + 4*int64(len(s.blocks)) }

// cursor goes through a segment.
type cursor struct {
	segment *segment
	next    int // where in data the next entry begins
	left    int // entries that follow
	key     []byte
	value   []byte // of the present key, with what follows: taken apart only when it is wanted, since most keys are gone past
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
	shared, n := binary.Uvarint(data)
	suffix, value := readText(data[n:])
	c.key, c.value = append(c.key[:shared], suffix...), value
	c.next += len(data) - len(afterValue(value))
	return true
}

func readText(data []byte) (text, rest []byte) {
	length, n := binary.Uvarint(data)
	return data[n : n+int(length)], data[n+int(length):]
}

func afterNumber(data []byte) []byte {
	_, n := binary.Uvarint(data)
	return data[n:]
}

// afterValue is what follows a value.
func afterValue(data []byte) []byte {
	flags, data := data[0], data[1:]
	switch objstore.ETagForm(flags & etagForm) {
	case objstore.ETagText:
		_, data = readText(data)
	case objstore.ETagMD5:
		data = data[16:]
	case objstore.ETagParts:
		data = afterNumber(data[16:])
	}
	if flags&hasClass != 0 {
		_, data = readText(data)
	}
	return afterNumber(afterNumber(data)) // size and time
}

// readValue is the entry of a value, without its key.
func readValue(data []byte) (e objstore.Entry) {
	flags, data := data[0], data[1:]
	switch form := objstore.ETagForm(flags & etagForm); form {
	case objstore.ETagText:
		var text []byte
		text, data = readText(data)
		e.ETag = string(text)
	case objstore.ETagMD5:
		e.ETag, data = objstore.JoinETag(data[:16], 0, form), data[16:]
	case objstore.ETagParts:
		parts, n := binary.Uvarint(data[16:])
		e.ETag, data = objstore.JoinETag(data[:16], parts, form), data[16+n:]
	}
	if flags&hasClass != 0 {
		var text []byte
		text, data = readText(data)
		e.StorageClass = string(text)
	}
	size, n := binary.Uvarint(data)
	modified, _ := binary.Varint(data[n:])
	e.Size, e.ModTime = int64(size), time.UnixMilli(modified)
	return e
}

// present is the entry the cursor is at.
func (c *cursor) present() objstore.Entry {
	e := readValue(c.value)
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

package names

import (
	"encoding/binary"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// What a packed record's flags say.
const (
	packedForm  = 3      // the bits of an objstore.ETagForm
	packedDir   = 1 << 2 // a directory
	packedName  = 1 << 3 // it is shown under another name than what its key ends in
	packedClass = 1 << 4 // a storage class follows
)

// origin is which tree has asked for a listing, and the number of the moment there.
type origin struct{ process, seq uint64 }

// pack is the records of a block as a shelf keeps them: of each key only what differs from the one before, of an ETag its bytes.
func pack(dir string, records []record, from origin) []byte {
	b := make([]byte, 0, 64+48*len(records))
	b = binary.LittleEndian.AppendUint64(b, from.process)
	b = binary.AppendUvarint(binary.AppendUvarint(b, from.seq), uint64(len(records)))
	before := ""
	for i := range records {
		r := &records[i]
		below := r.key[len(dir):]
		sum, parts, form := objstore.SplitETag(r.etag)
		flags := byte(form)
		if r.dir {
			flags |= packedDir
		}
		plain := strings.TrimSuffix(below, "/")
		if r.name != plain {
			flags |= packedName
		}
		if r.class != "" {
			flags |= packedClass
		}
		shared := commonLen(before, below)
		b = binary.AppendUvarint(append(b, flags), uint64(shared))
		b = appendText(b, below[shared:])
		before = below
		if flags&packedName != 0 {
			b = appendText(b, r.name)
		}
		if r.dir {
			continue
		}
		switch form {
		case objstore.ETagText:
			b = appendText(b, r.etag)
		case objstore.ETagMD5:
			b = append(b, sum[:]...)
		case objstore.ETagParts:
			b = binary.AppendUvarint(append(b, sum[:]...), parts)
		}
		if r.class != "" {
			b = appendText(b, r.class)
		}
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(r.size)), r.modTime)
	}
	return b
}

// unpack takes such a block apart; false when it is none.
func unpack(dir string, data []byte) (records []record, from origin, ok bool) {
	p := parser{rest: data}
	if b := p.take(8); b != nil {
		from.process = binary.LittleEndian.Uint64(b)
	}
	from.seq = p.number()
	n := p.number()
	if p.bad || n > uint64(len(p.rest)) { // a record takes three bytes at least
		return nil, from, false
	}
	records = make([]record, 0, n)
	below := ""
	for range n {
		flags := p.byte()
		shared := p.number()
		rest := p.take(p.number())
		if p.bad || shared > uint64(len(below)) {
			return nil, from, false
		}
		key := dir + below[:shared] + string(rest)
		below = key[len(dir):]
		r := record{key: key, dir: flags&packedDir != 0}
		if r.name = strings.TrimSuffix(below, "/"); flags&packedName != 0 {
			r.name = p.text()
		}
		if !r.dir {
			p.attributes(&r, flags)
		}
		if p.bad || r.name == "" {
			return nil, from, false
		}
		records = append(records, r)
	}
	return records, from, len(p.rest) == 0
}

// attributes reads what a file has.
func (p *parser) attributes(r *record, flags byte) {
	switch form := objstore.ETagForm(flags & packedForm); form {
	case objstore.ETagText:
		r.etag = p.text()
	case objstore.ETagMD5, objstore.ETagParts:
		sum, parts := p.take(16), uint64(0)
		if form == objstore.ETagParts {
			parts = p.number()
		}
		if !p.bad {
			r.etag = objstore.JoinETag(sum, parts, form)
		}
	default:
		p.bad = true
	}
	if flags&packedClass != 0 {
		r.class = p.text()
	}
	r.size = int64(p.number())
	modified, n := binary.Varint(p.rest)
	if p.bad = p.bad || n <= 0 || r.size < 0; !p.bad {
		r.modTime, p.rest = modified, p.rest[n:]
	}
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

func appendText(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

// parser takes bytes apart. Once something is missing all else is, too.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) take(n uint64) []byte {
	if p.bad = p.bad || n > uint64(len(p.rest)); p.bad {
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) number() uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.bad = p.bad || n <= 0; p.bad {
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) text() string { return string(p.take(p.number())) }

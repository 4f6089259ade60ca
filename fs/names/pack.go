package names

import (
	"encoding/binary"
	"strings"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/objstore/packed"
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

// pack is the records of a block as a shelf keeps them: of each key only what differs from the one before, of an ETag
// its bytes.
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
		shared := packed.CommonLen(before, below)
		b = binary.AppendUvarint(append(b, flags), uint64(shared))
		b = packed.AppendText(b, below[shared:])
		before = below
		if flags&packedName != 0 {
			b = packed.AppendText(b, r.name)
		}
		if r.dir {
			continue
		}
		switch form {
		case objstore.ETagText:
			b = packed.AppendText(b, r.etag)
		case objstore.ETagMD5:
			b = append(b, sum[:]...)
		case objstore.ETagParts:
			b = binary.AppendUvarint(append(b, sum[:]...), parts)
		}
		if r.class != "" {
			b = packed.AppendText(b, r.class)
		}
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(r.size)), r.modTime)
	}
	return b
}

// unpack takes such a block apart; false when it is none.
func unpack(dir string, data []byte) (records []record, from origin, ok bool) {
	p := packed.NewReader(data)
	from = origin{process: p.Uint64(), seq: p.Number()}
	n := p.Number()
	if p.Bad() || n > uint64(p.Left()) { // a record takes three bytes at least
		return nil, from, false
	}
	records = make([]record, 0, n)
	below := ""
	for range n {
		flags, shared := p.Byte(), p.Number()
		rest := p.Bytes(p.Number())
		if p.Bad() || shared > uint64(len(below)) {
			return nil, from, false
		}
		key := dir + below[:shared] + string(rest)
		below = key[len(dir):]
		r, ok := record{key: key, dir: flags&packedDir != 0}, true
		if r.name = strings.TrimSuffix(below, "/"); flags&packedName != 0 {
			r.name = p.Text()
		}
		if !r.dir {
			ok = readAttributes(p, &r, flags)
		}
		if !ok || p.Bad() || r.name == "" {
			return nil, from, false
		}
		records = append(records, r)
	}
	return records, from, p.Whole()
}

// readAttributes reads what a file has; false when that cannot be.
func readAttributes(p *packed.Reader, r *record, flags byte) bool {
	switch form := objstore.ETagForm(flags & packedForm); form {
	case objstore.ETagText:
		r.etag = p.Text()
	case objstore.ETagMD5, objstore.ETagParts:
		sum, parts := p.Bytes(16), uint64(0)
		if form == objstore.ETagParts {
			parts = p.Number()
		}
		r.etag = objstore.JoinETag(sum, parts, form)
	default:
		return false
	}
	if flags&packedClass != 0 {
		r.class = p.Text()
	}
	r.size = int64(p.Number())
	r.modTime = p.Signed()
	return r.size >= 0
}

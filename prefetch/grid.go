package prefetch

import "github.com/headrace/headrace/objstore"

const (
	// ChunkSize is the unit of a GET: stores want requests of at least 15 MB.
	ChunkSize = 16 << 20
	// BlockSize is the least that is asked for: stores suffer from requests below 1 MB.
	BlockSize = 1 << 20
)

// grid does the arithmetic on offsets of a file of so many bytes. Units are powers of two.
type grid int64

func down(off, unit int64) int64 { return off &^ (unit - 1) }

// up is the next multiple of unit, or the end of the file where that comes first.
func (g grid) up(off, unit int64) int64 { return min(down(off+unit-1, unit), int64(g)) }

// cover is the units that hold a byte of [off, end), cut at the end of the file.
func (g grid) cover(off, end, unit int64) objstore.Range {
	from := down(off, unit)
	return objstore.Range{Off: from, Len: g.up(end, unit) - from}
}

// chunks is how many chunks the file has.
func (g grid) chunks() int64 { return (int64(g) + ChunkSize - 1) / ChunkSize }

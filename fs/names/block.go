package names

import (
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// record is an Item as it is kept: a directory of 100,000 names is kept whole, so it is small.
type record struct {
	name    string // shares the key's memory unless it is escaped
	key     string
	etag    string
	class   string
	size    int64
	modTime int64 // seconds since 1970: a listing tells no less
	dir     bool
}

func (r *record) item(confirmed time.Time) Item {
	item := Item{Name: r.name, Dir: r.dir, Key: r.key, Confirmed: confirmed}
	if !r.dir {
		item.Entry = objstore.Entry{
			Key: r.key, Size: r.size, ETag: r.etag, ModTime: time.Unix(r.modTime, 0).UTC(), StorageClass: r.class,
		}
	}
	return item
}

// rank is what the records of a stream are in the order of, where the store lists in the order of bytes.
func (r *record) rank() string {
	if r.dir {
		return r.key
	}
	return r.key + "/"
}

// block is what one page of a listing brought, in the order in which readers get it. It never changes.
type block struct {
	asked   moment // when the first of the requests that told of these records began
	records []record
	byName  []int32 // the indices of records in the order of names; nil when that is the order they are in
}

func newBlock(records []record, asked moment) *block {
	b := &block{asked: asked, records: records}
	byName := func(x, y record) int { return strings.Compare(x.name, y.name) }
	if slices.IsSortedFunc(records, byName) {
		return b
	}
	b.byName = make([]int32, len(records))
	for i := range b.byName {
		b.byName[i] = int32(i)
	}
	slices.SortFunc(b.byName, func(i, j int32) int { return byName(records[i], records[j]) })
	return b
}

// sorted is the place of the i-th record by name.
func (b *block) sorted(i int) int {
	if b.byName != nil {
		return int(b.byName[i])
	}
	return i
}

// find is the record of that name, or nil.
func (b *block) find(name string) *record {
	if i := b.index(name); i >= 0 {
		return &b.records[i]
	}
	return nil
}

// index is the place of the record of that name, or -1.
func (b *block) index(name string) int {
	named := func(i int) string { return b.records[b.sorted(i)].name }
	last := len(b.records) - 1
	if last < 0 || name < named(0) || name > named(last) {
		return -1
	}
	low, high := 0, last
	for low < high {
		middle := (low + high) / 2
		if named(middle) < name {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if named(low) == name {
		return b.sorted(low)
	}
	return -1
}

package names

import (
	"slices"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// row is one line of a listing: what stands between the directory's prefix and the next "/", that "/" included.
type row struct {
	raw   string
	entry objstore.Entry // of a file
	asked moment
}

func (r row) dir() bool         { return strings.HasSuffix(r.raw, "/") }
func (r row) component() string { return strings.TrimSuffix(r.raw, "/") }

// classifier turns the pages of a listing into records, in one pass. It holds a file back until it is known whether
// there is a directory of the same component: until a row comes that is not between "a" and "a/".
//
// Rows are put in the order of bytes within a page, since a page tells entries and prefixes apart and so not their
// order; across pages they are taken as they come. So a store that lists level by level ("a/" before "a-b"), as those
// do that keep objects in folders, loses nothing and doubles nothing. Where the order is that of bytes, the records'
// order depends on the rows alone and not on where pages end.
//
// INVARIANT: each of held begins with the one before it, and goes on with a byte below "/".
// INVARIANT: each of parts begins with the one before it.
type classifier struct {
	dir     string
	held    []row
	lastDir string   // the component of the last directory, with its "/"; empty before the first
	parts   []string // the pieces shown as %part= directories that the last row begins with

	records []record
	asked   moment // of the oldest row in records
}

// add takes the next page, which was asked for at that moment.
func (c *classifier) add(page objstore.Page, asked moment) {
	for _, r := range c.rows(page, asked) {
		c.accept(r)
	}
}

// rows are the page's lines in the order of bytes. What a store ought not to list (keys outside the directory, the
// prefix itself) is left out; a key from deeper below, where a store knows no delimiter, counts as its directory.
func (c *classifier) rows(page objstore.Page, asked moment) []row {
	rows := make([]row, 0, len(page.Entries)+len(page.Prefixes))
	for _, entry := range page.Entries {
		raw, ok := strings.CutPrefix(entry.Key, c.dir)
		if !ok {
			continue
		}
		if slash := strings.IndexByte(raw, '/'); slash >= 0 {
			rows = append(rows, row{raw: raw[:slash+1], asked: asked})
			continue
		}
		rows = append(rows, row{raw: raw, entry: entry, asked: asked})
	}
	for _, prefix := range page.Prefixes {
		if raw, ok := strings.CutPrefix(prefix, c.dir); ok && strings.HasSuffix(raw, "/") {
			rows = append(rows, row{raw: raw[:strings.IndexByte(raw, '/')+1], asked: asked})
		}
	}
	byBytes := func(x, y row) int { return strings.Compare(x.raw, y.raw) }
	if !slices.IsSortedFunc(rows, byBytes) {
		slices.SortStableFunc(rows, byBytes)
	}
	return rows
}

func (c *classifier) accept(r row) {
	for len(c.held) > 0 {
		top := c.held[len(c.held)-1]
		if top.raw == r.raw {
			return // a store that repeats itself
		}
		collides := r.raw == top.raw+"/"
		if !collides && strings.HasPrefix(r.raw, top.raw) && r.raw[len(top.raw)] < '/' {
			break // "top/" may still come
		}
		c.held = c.held[:len(c.held)-1]
		c.show(top, collides)
	}
	c.parts = slices.DeleteFunc(c.parts, func(p string) bool { return !strings.HasPrefix(r.raw, p) })
	switch {
	case r.dir():
		if r.raw == c.lastDir {
			return // a prefix that goes on in the next page, for some stores
		}
		c.lastDir = r.raw
		c.show(r, false)
	case r.raw == "":
		if r.entry.Size > 0 {
			c.show(r, true)
		}
	default:
		c.held = append(c.held, r)
	}
}

// finish releases what is held back when the listing has ended.
func (c *classifier) finish() {
	for len(c.held) > 0 {
		top := c.held[len(c.held)-1]
		c.held = c.held[:len(c.held)-1]
		c.show(top, false)
	}
}

// show makes a row's record, if it is shown in this directory. beside says that it is a file beside its directory.
func (c *classifier) show(r row, beside bool) {
	component := r.component()
	name, piece, ok := place(c.dir, component, beside)
	if !ok {
		return
	}
	rec := record{name: name, dir: r.dir()}
	switch {
	case piece < len(component):
		if slices.Contains(c.parts, component[:piece]) {
			return
		}
		c.parts = append(c.parts, component[:piece])
		rec.dir, rec.key = true, c.dir+component[:piece]
	case rec.dir:
		rec.key = c.dir + r.raw
		if name == component {
			rec.name = rec.key[len(c.dir) : len(rec.key)-1]
		}
	default:
		e := &r.entry
		rec.key, rec.etag, rec.size, rec.modTime, rec.class = e.Key, e.ETag, e.Size, e.ModTime.Unix(), e.StorageClass
	}
	if len(c.records) == 0 || r.asked.seq < c.asked.seq {
		c.asked = r.asked
	}
	c.records = append(c.records, rec)
}

// take hands over the records made since it was last called.
func (c *classifier) take() ([]record, moment) {
	records := c.records
	c.records = nil
	return records, c.asked
}

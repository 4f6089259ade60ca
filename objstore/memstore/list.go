package memstore

import (
	"context"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/headrace/headrace/objstore"
)

// maxPage is how many names S3 puts on a page at most.
const maxPage = 1000

// List yields pages in byte order, prefixes and entries counted together. Each page shows the bucket as it is when the
// page is asked for. Keys that are greater than StartAfter count, also those whose common prefix is not.
func (s *Store) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		size := opts.PageSize
		if size <= 0 || size > maxPage {
			size = maxPage
		}
		after := opts.StartAfter
		for {
			if err := ctx.Err(); err != nil {
				yield(objstore.Page{}, err)
				return
			}
			var page objstore.Page
			page, after = s.page(opts, after, size)
			if !yield(page, nil) || page.Last {
				return
			}
		}
	}
}

// page makes the page of names whose keys come after a key, and returns the last key it covers.
func (s *Store) page(opts objstore.ListOptions, after string, size int) (objstore.Page, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.keys()
	var page objstore.Page
	i, _ := slices.BinarySearch(keys, max(opts.Prefix, after+"\x00")) // no key lies between after and this
	for i < len(keys) && strings.HasPrefix(keys[i], opts.Prefix) {
		if len(page.Entries)+len(page.Prefixes) == size {
			return page, after
		}
		common, isPrefix := commonPrefix(keys[i], opts)
		if isPrefix {
			page.Prefixes = append(page.Prefixes, common)
			i += sort.Search(len(keys)-i, func(j int) bool { return !strings.HasPrefix(keys[i+j], common) })
		} else {
			page.Entries = append(page.Entries, s.objects[keys[i]].entry(keys[i]))
			i++
		}
		after = keys[i-1]
	}
	page.Last = true
	return page, after
}

// commonPrefix is the part of key up to the first delimiter after the prefix.
func commonPrefix(key string, opts objstore.ListOptions) (string, bool) {
	if opts.Delimiter == "" {
		return "", false
	}
	below := key[len(opts.Prefix):]
	i := strings.Index(below, opts.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(opts.Prefix)+i+len(opts.Delimiter)], true
}

package hashed

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/headrace/headrace/objstore"
)

// pageSize is how many keys a page has when nobody says how many: what stores do.
const pageSize = 1000

// List answers from the index, in the order of bytes. See [objstore.Lister].
func (b *Bucket) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		if !strings.HasPrefix(opts.Prefix, b.index.options.Prefix) {
			yield(objstore.Page{}, b.fail(objstore.OpList, opts.Prefix, objstore.ErrPermission))
			return
		}
		if err := b.index.await(ctx); err != nil {
			yield(objstore.Page{}, b.fail(objstore.OpList, opts.Prefix, err))
			return
		}
		l, ok := newLister(b.index, opts)
		if !ok {
			yield(objstore.Page{}, b.fail(objstore.OpList, opts.Prefix, errTooMany(b.Name(), b.index.options.MaxKeys)))
			return
		}
		for {
			page := l.page()
			if !yield(page, nil) || page.Last {
				return
			}
			if err := ctx.Err(); err != nil {
				yield(objstore.Page{}, b.fail(objstore.OpList, opts.Prefix, err))
				return
			}
		}
	}
}

// lister makes pages of a walk through the index.
type lister struct {
	opts objstore.ListOptions
	walk *merge
	asOf time.Time
}

// newLister is false when the index has grown too large since it was waited for.
func newLister(x *index, opts objstore.ListOptions) (l *lister, ok bool) {
	if opts.PageSize <= 0 {
		opts.PageSize = pageSize
	}
	from := opts.Prefix
	if opts.StartAfter >= from {
		from = opts.StartAfter + "\x00" // the next key there can be
	}
	l = &lister{opts: opts}
	l.walk, l.asOf, ok = x.walk(from)
	return l, ok
}

func (l *lister) page() objstore.Page {
	page := objstore.Page{AsOf: l.asOf}
	for len(page.Entries)+len(page.Prefixes) < l.opts.PageSize {
		key, ok := l.walk.key()
		if !ok || !strings.HasPrefix(key, l.opts.Prefix) {
			page.Last = true
			return page
		}
		if prefix, ok := commonPrefix(key, l.opts); ok {
			page.Prefixes = append(page.Prefixes, prefix)
			l.walk.skip(successor(prefix))
			continue
		}
		page.Entries = append(page.Entries, l.walk.entry())
		l.walk.next()
	}
	return page
}

func commonPrefix(key string, opts objstore.ListOptions) (string, bool) {
	if opts.Delimiter == "" {
		return "", false
	}
	before, _, found := strings.Cut(key[len(opts.Prefix):], opts.Delimiter)
	return opts.Prefix + before + opts.Delimiter, found
}

// successor is the first key after all that begin with prefix, whose last byte is the delimiter's.
func successor(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return prefix + "\xff" // there is none; no delimiter consists of such bytes
}

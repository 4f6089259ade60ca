package objstore

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// List goes on after the last name it yielded when a page cannot be had, provided that names have come in ascending
// order.
func (r *retry) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		a := r.attempts(OpList, opts.Prefix)
		var seen position
		for {
			failure := seen.list(ctx, r.inner, opts, func(page Page) bool {
				a.progress()
				return yield(page, nil)
			})
			if failure == nil {
				return
			}
			if !seen.disordered {
				failure = a.wait(ctx, failure)
			}
			if failure != nil {
				yield(Page{}, failure)
				return
			}
		}
	}
}

// position is how far a listing has come.
type position struct {
	last       string // greatest name yielded; "" before the first
	disordered bool   // a name came after a greater one: nobody can tell what is missing when the listing breaks
}

// list goes through the pages after the position. It returns nil when the listing or the yielding has ended.
func (p *position) list(ctx context.Context, b Bucket, opts ListOptions, yield func(Page) bool) error {
	from := p.last
	if from != "" {
		opts.StartAfter = from
	}
	for page, err := range b.List(ctx, opts) {
		if err != nil {
			return err
		}
		if from != "" {
			page = page.after(from)
		}
		p.advance(page)
		if !yield(page) {
			return nil
		}
	}
	return nil
}

// after is the page without the names up to last. A listing that is taken up again may repeat its last common prefix:
// stores differ in whether keys below "a/" come after a start-after of "a/".
func (page Page) after(last string) Page {
	page.Entries = slices.DeleteFunc(slices.Clone(page.Entries), func(e Entry) bool { return e.Key <= last })
	page.Prefixes = slices.DeleteFunc(slices.Clone(page.Prefixes), func(prefix string) bool { return prefix <= last })
	return page
}

// advance moves the position past page.
func (p *position) advance(page Page) {
	sorted := slices.IsSortedFunc(page.Entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) }) &&
		slices.IsSorted(page.Prefixes)
	before, last := p.last, p.last
	for _, e := range page.Entries {
		sorted = sorted && e.Key > before
		last = max(last, e.Key)
	}
	for _, prefix := range page.Prefixes {
		sorted = sorted && prefix > before
		last = max(last, prefix)
	}
	p.last, p.disordered = last, p.disordered || !sorted
}

// ListUploads begins anew when it breaks, and leaves out what it has yielded: there are few uploads below one prefix.
func (r *retry) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		a := r.attempts(OpListUploads, prefix)
		seen := make(map[string]bool) // by upload id
		for {
			var failure error
			for u, err := range r.inner.ListUploads(ctx, prefix) {
				if err != nil {
					failure = err
					break
				}
				if seen[u.ID] {
					continue
				}
				seen[u.ID] = true
				a.progress()
				if !yield(u, nil) {
					return
				}
			}
			if failure == nil {
				return
			}
			if failure = a.wait(ctx, failure); failure != nil {
				yield(Upload{}, failure)
				return
			}
		}
	}
}

package names

import (
	"cmp"
	"context"
	"hash/fnv"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

// fake is a store that lists in an order to be chosen, pages live (a change is seen by the next page, as in S3), counts
// its requests, and can be made to block or to fail.
type fake struct {
	mu       sync.Mutex
	objects  map[string]objstore.Entry
	requests []string // "HEAD key", "LIST prefix", and "LIST prefix (1)" for one key

	page  int                                             // rows a page
	order func(x, y string) int                           // of rows; nil is that of bytes
	hook  func(ctx context.Context, request string) error // before the answer; nil for none
}

func newFake(keys ...string) *fake {
	f := &fake{objects: make(map[string]objstore.Entry), page: 1000}
	for _, key := range keys {
		f.put(key, "etag")
	}
	return f
}

// put stores an object; markers ("dir/") are empty unless told otherwise by their ETag being "full".
func (f *fake) put(key, etag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := int64(len(key))
	if strings.HasSuffix(key, "/") && etag != "full" {
		size = 0
	}
	f.objects[key] = objstore.Entry{Key: key, Size: size, ETag: etag, ModTime: time.Unix(1e9, 0).UTC(), StorageClass: "STANDARD"}
}

func (f *fake) remove(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.objects, key)
}

func (f *fake) setHook(hook func(ctx context.Context, request string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// take is the requests since it was last called, sorted.
func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.requests
	f.requests = nil
	slices.Sort(taken)
	return taken
}

func (f *fake) request(ctx context.Context, request string) error {
	f.mu.Lock()
	f.requests = append(f.requests, request)
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, request); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *fake) Stat(ctx context.Context, key string) (objstore.Entry, error) {
	if err := f.request(ctx, "HEAD "+key); err != nil {
		return objstore.Entry{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.objects[key]; ok {
		e.Metadata = map[string]string{"k": "v"}
		return e, nil
	}
	return objstore.Entry{}, &objstore.Error{Op: "HeadObject", Key: key, Err: objstore.ErrNotExist}
}

func (f *fake) List(ctx context.Context, opts objstore.ListOptions) iter.Seq2[objstore.Page, error] {
	return func(yield func(objstore.Page, error) bool) {
		name, size := "LIST "+opts.Prefix, f.page
		if opts.PageSize == 1 {
			name, size = name+" (1)", 1
		}
		for after := opts.StartAfter; ; {
			if err := f.request(ctx, name); err != nil {
				yield(objstore.Page{}, err)
				return
			}
			var page objstore.Page
			rows := f.rows(opts, after)
			for _, row := range rows[:min(size, len(rows))] {
				if after = row; f.rolled(opts, row) {
					page.Prefixes = append(page.Prefixes, row)
				} else {
					f.mu.Lock()
					page.Entries = append(page.Entries, f.objects[row])
					f.mu.Unlock()
				}
			}
			page.Last = len(rows) <= size
			if !yield(page, nil) || page.Last {
				return
			}
		}
	}
}

func (f *fake) rolled(opts objstore.ListOptions, row string) bool {
	return opts.Delimiter != "" && strings.Contains(row[len(opts.Prefix):], opts.Delimiter)
}

// rows are the keys and common prefixes after one of them.
func (f *fake) rows(opts objstore.ListOptions, after string) []string {
	order := f.order
	if order == nil {
		order = strings.Compare
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	set := make(map[string]bool)
	for key := range f.objects {
		rest, ok := strings.CutPrefix(key, opts.Prefix)
		if !ok {
			continue
		}
		row := key
		if i := strings.Index(rest, opts.Delimiter); opts.Delimiter != "" && i >= 0 {
			row = opts.Prefix + rest[:i+1]
		}
		if after == "" || order(row, after) > 0 {
			set[row] = true
		}
	}
	rows := make([]string, 0, len(set))
	for row := range set {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, order)
	return rows
}

// byLevel is the order of stores that keep keys in folders: "a/" before "a-b".
func byLevel(x, y string) int {
	return cmp.Or(strings.Compare(strings.TrimSuffix(x, "/"), strings.TrimSuffix(y, "/")), strings.Compare(x, y))
}

// byHash is no order at all.
func byHash(x, y string) int {
	hash := func(s string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(s))
		return h.Sum64() * 0x9E3779B97F4A7C15
	}
	return cmp.Or(cmp.Compare(hash(x), hash(y)), strings.Compare(x, y))
}

// clock is a clock that is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(2e9, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newTree makes a tree with a TTL of one second. Its invariants are checked, and its goroutines waited for, at the end.
func newTree(t *testing.T, f *fake, change ...func(*Config)) (*Tree, *clock) {
	t.Helper()
	c := newClock()
	cfg := Config{TTL: time.Second, Now: c.Now}
	for _, f := range change {
		f(&cfg)
	}
	tree := New(f, cfg)
	t.Cleanup(func() {
		tree.check(t)
		tree.Close()
	})
	return tree, c
}

// check runs the INVARIANT lines of the tree, its memory and the listings in it.
func (t *Tree) check(tb testing.TB) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	m, names := &t.memory, 0
	for _, dir := range m.listings.Keys() {
		l, _ := m.listings.Peek(dir)
		names += l.weight()
		if !l.kept || l.dir != dir || l.weight() > m.limit/2 {
			tb.Errorf("listing %q: kept %v, dir %q, weight %d of %d", dir, l.kept, l.dir, l.weight(), m.limit)
		}
		l.check(tb)
	}
	if names != m.names || names > m.limit {
		tb.Errorf("memory counts %d names, has %d, may have %d", m.names, names, m.limit)
	}
	if m.singles.Len() > max(m.limit/8, 1) || m.forgotten.Len() > maxForgotten {
		tb.Errorf("memory has %d single answers and %d forgotten names", m.singles.Len(), m.forgotten.Len())
	}
	t.foresight.check(tb)
	for a, f := range t.flights {
		if f.waiters < 0 {
			tb.Errorf("flight %v has %d waiters", a, f.waiters)
		}
	}
}

func (f *foresight) check(tb testing.TB) {
	tb.Helper()
	ahead := 0
	for _, w := range f.walks.Values() {
		w.check(tb)
		ahead += len(w.ahead)
		for dir := range w.ahead {
			if p := f.ahead[dir]; p == nil || p.by != w.walk || p.listing.dir != dir || p.listing.readers < 1 {
				tb.Errorf("%q is ahead, and there is %+v", dir, p)
			}
		}
	}
	if ahead != len(f.ahead) || ahead > f.most {
		tb.Errorf("%d listings ahead, %d of walks, %d at most", len(f.ahead), ahead, f.most)
	}
}

func (l *listing) check(tb testing.TB) {
	tb.Helper()
	names := 0
	for i, b := range l.blocks {
		if len(b.records) == 0 {
			tb.Errorf("listing %q: block %d is empty", l.dir, i)
		}
		names += len(b.records)
	}
	if published := l.dropped + len(l.blocks); published > l.wanted {
		tb.Errorf("listing %q has %d blocks where %d are wanted", l.dir, published, l.wanted)
	}
	if names != l.names || l.readers < 0 {
		tb.Errorf("listing %q counts %d names, has %d, and %d readers", l.dir, l.names, names, l.readers)
	}
}

func (c *classifier) check(tb testing.TB) {
	tb.Helper()
	for i := 1; i < len(c.held); i++ {
		x, y := c.held[i-1].raw, c.held[i].raw
		if !strings.HasPrefix(y, x) || len(x) == len(y) || y[len(x)] >= '/' {
			tb.Errorf("held %q before %q", x, y)
		}
	}
	for i := 1; i < len(c.parts); i++ {
		if !strings.HasPrefix(c.parts[i], c.parts[i-1]) {
			tb.Errorf("part %q before %q", c.parts[i-1], c.parts[i])
		}
	}
}

// all reads a stream to its end.
func all(t *testing.T, s *Stream) []Item {
	t.Helper()
	defer s.Close()
	var items []Item
	for {
		item, err := s.Next(t.Context())
		if ends(t, err) {
			return items
		}
		items = append(items, item)
	}
}

package names

import (
	"context"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// looseBlocks is how many blocks a listing keeps that is not remembered: the one its fastest reader is in, the next,
// and two for readers that are not quite as fast.
const looseBlocks = 4

// listing is one pass over a directory, under way or complete. Its readers share the requests: the pass is at most one
// page ahead of the fastest. It ends when the directory ends, a request fails, or the last reader leaves.
//
// INVARIANT: names is the sum of the blocks' records, and no block is empty.
// INVARIANT: there are never more blocks than wanted.
type listing struct {
	dir    string
	began  moment
	ticket *objstore.Ticket // of its requests
	cancel context.CancelFunc
	demand chan struct{} // wakes the pass after wanted has grown; holds one
	at     *address      // where the directory is shown, if its being there is to be remembered: nobody has looked it up

	// Guarded by Tree.mu.
	blocks  []*block
	dropped int           // blocks that were before blocks[0]
	names   int           // in blocks
	wanted  int           // blocks, dropped ones included, that readers have asked for
	readers int           // streams, and one for as long as it is ahead; see foresight
	done    bool          // no block will follow
	err     error         // why, unless the directory has ended
	kept    bool          // in memory.listings
	spoiled bool          // a name in it has been forgotten
	changed chan struct{} // closed when a block or the end has come, and then replaced
}

func newListing(dir string, began moment) *listing {
	return &listing{dir: dir, began: began, ticket: objstore.NewTicket(objstore.ClassMetadata), wanted: 1, demand: make(chan struct{}, 1), changed: make(chan struct{})}
}

// weight is what the listing counts against the limit of names; an empty one is not free either.
func (l *listing) weight() int { return l.names + 1 }

// whole tells whether a reader that begins now can get every name from it.
func (l *listing) whole() bool { return l.dropped == 0 && l.err == nil && (l.done || l.readers > 0) }

// lookup is what the listing says of a name; ok is false when it does not say.
func (l *listing) lookup(name string) (ans answer, ok bool) {
	for i := len(l.blocks) - 1; i >= 0; i-- {
		b := l.blocks[i]
		if r := b.find(name); r != nil {
			return answer{item: r.item(b.asked.at), found: true, asked: b.asked}, true
		}
	}
	return answer{asked: l.began}, l.done && l.whole()
}

// directoriesAfter are up to n directories that come after a name, as far as it is known, and found among not many
// names.
func (l *listing) directoriesAfter(name string, n int) (next []*record) {
	left, found := lookedAt, false
	for _, b := range l.blocks {
		i := 0
		if !found {
			if i = b.index(name) + 1; i == 0 {
				continue
			}
			found = true
		}
		for ; i < len(b.records) && len(next) < n && left > 0; i++ {
			if left--; b.records[i].dir {
				next = append(next, &b.records[i])
			}
		}
	}
	return next
}

// follows tells whether the directory name is one of the next after another.
func (l *listing) follows(after, name string) bool {
	return slices.ContainsFunc(l.directoriesAfter(after, nextWithin), func(r *record) bool { return r.name == name })
}

// want asks for so many blocks.
func (l *listing) want(blocks int) {
	if blocks <= l.wanted {
		return
	}
	l.wanted = blocks
	select {
	case l.demand <- struct{}{}:
	default:
	}
}

// trim drops the oldest blocks while too holds, and tells how many names they had.
func (l *listing) trim(too func() bool) (names int) {
	for len(l.blocks) > 0 && too() {
		n := len(l.blocks[0].records)
		l.blocks[0] = nil
		l.blocks = l.blocks[1:]
		l.dropped++
		l.names -= n
		names += n
	}
	return names
}

func (l *listing) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// join finds or begins a listing of dir for one more reader, who calls leave. walks tells that the reader may be
// walking through a tree.
func (t *Tree) join(dir string, walks bool) *listing {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.memory.listing(dir)
	if ok {
		l.readers++
		l.ticket.Raise(objstore.ClassMetadata)
	} else {
		l = t.begin(dir, objstore.ClassMetadata)
	}
	if walks {
		t.walked(dir)
	}
	t.foresight.taken(dir, t.memory.now())
	return l
}

// begin begins a listing of dir for one reader. The caller holds t.mu.
func (t *Tree) begin(dir string, class objstore.Class) *listing {
	l := newListing(dir, t.memory.stamp())
	l.readers, l.ticket = 1, objstore.NewTicket(class)
	ctx, cancel := context.WithCancel(objstore.WithTicket(t.ctx, l.ticket))
	l.cancel = cancel
	if !t.start(func() { t.pass(ctx, l) }) {
		cancel()
		l.done, l.err = true, context.Canceled
		return l
	}
	t.memory.keep(l)
	return l
}

// leave ends what join began. A pass that nobody reads any more ends; what it has found is still known to Lookup. The
// caller holds Tree.mu.
func (l *listing) leave() {
	if l.readers--; l.readers == 0 {
		l.cancel()
	}
}

// pass lists the directory, page by page as they are wanted: from what is kept of it on the disk, where that is young
// enough, and else from the store.
func (t *Tree) pass(ctx context.Context, l *listing) {
	defer l.cancel()
	if t.replay(ctx, l) {
		return
	}
	kept := t.save(l)
	c := classifier{dir: l.dir}
	asked, failed := l.began, error(nil)
	for page, err := range t.store.List(ctx, objstore.ListOptions{Prefix: l.dir, Delimiter: "/"}) {
		if err != nil {
			failed = err
			break
		}
		if asked = asked.noLaterThan(page.AsOf); asked.at.Before(l.began.at) {
			t.mu.Lock()
			l.began.at = asked.at
			t.mu.Unlock()
		}
		c.add(page, asked)
		if page.Last {
			break // all is known, whether or not somebody wants more
		}
		kept.block(t.extend(l, &c))
		if failed = t.awaitDemand(ctx, l); failed != nil {
			break
		}
		asked = t.stamp()
	}
	if failed == nil {
		c.finish()
	}
	kept.block(t.extend(l, &c))
	t.mu.Lock()
	whole := failed == nil && !l.spoiled
	t.finish(l, failed)
	t.mu.Unlock()
	kept.done(whole)
}

// finish ends the pass. The caller holds t.mu.
func (t *Tree) finish(l *listing, failed error) {
	if l.done, l.err = true, failed; failed != nil {
		t.foresight.failed(l)
	}
	l.wake()
}

// awaitDemand waits until readers want more than there is. Its error is ctx's.
func (t *Tree) awaitDemand(ctx context.Context, l *listing) error {
	t.mu.Lock()
	for l.dropped+len(l.blocks) >= l.wanted {
		t.mu.Unlock()
		select {
		case <-l.demand:
		case <-ctx.Done():
			return ctx.Err()
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
	return ctx.Err()
}

// extend appends the records the classifier has made: nil if there are none.
func (t *Tree) extend(l *listing, c *classifier) *block {
	records, asked := c.take()
	if len(records) == 0 {
		return nil
	}
	b := newBlock(records, asked)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.append(l, b)
	return b
}

// append gives readers another block. The caller holds t.mu.
func (t *Tree) append(l *listing, b *block) {
	l.blocks = append(l.blocks, b)
	l.names += len(b.records)
	t.memory.grown(l, len(b.records))
	if l.at != nil {
		there := Item{Name: l.at.name, Dir: true, Key: l.dir, Confirmed: b.asked.at}
		t.memory.remember(*l.at, answer{item: there, found: true, asked: b.asked})
	}
	l.wake()
}

package names

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
)

// An offset is where a reader stands: how many items it has got, and a hash of the last one's name. The number finds the
// place as long as the listing is kept, the hash finds it in a new listing of a directory that has changed meanwhile.
const (
	hashBits = 35        // a place among a million names is mistaken for an earlier one in 3 of 100,000 cases
	maxCount = 1<<28 - 1 // the kernel's offsets are positive: 63 bits
)

// Stream is one reader of a directory. It is for one goroutine at a time.
type Stream struct {
	tree *Tree
	dir  string

	listing *listing // nil before the first Next, and after a failure or a seek
	block   *block   // the one being read; nil before the first
	at      int      // records of it that were given
	next    int      // the block after it, counted with the dropped ones
	shift   uint64   // what is to be added to a record's number in the listing to get the number in its offset (wraps)
	offset  uint64   // after the item given last; 0 at the start
	resume  bool     // the listing is to be read again up to offset
}

// ReadDir begins to read the directory whose prefix is dir. It asks nothing: the first Next does. The caller closes the
// stream. A directory that does not exist has no items.
//
// A listing young enough costs nothing, and one under way is shared; else the store is asked page by page, one page ahead
// of the reader, and a large directory is never held whole. What passes by is known to Lookup.
func (t *Tree) ReadDir(_ context.Context, dir string) *Stream { return &Stream{tree: t, dir: dir} }

// Next gives the next item, or io.EOF. Each name comes once; a name that comes or goes while the stream is open may be
// given or not. The order is that of keys as the store lists them. ctx ends only the waiting; after an error the stream
// still stands where it stood, and the next call tries anew.
func (s *Stream) Next(ctx context.Context) (Item, error) {
	for {
		if s.resume {
			if err := s.catchUp(ctx); err == errLost {
				continue
			} else if err != nil {
				return Item{}, err
			}
		}
		r, err := s.step(ctx)
		if err == errLost {
			continue
		}
		if err != nil {
			return Item{}, err
		}
		s.offset = s.tree.offset(s.block.base+uint64(s.at)+s.shift, r.name)
		return r.item(s.block.asked.at), nil
	}
}

// Offset is the place after the item given last: what telldir answers. It is 0 at the start, else at least 2^35 and
// below 2^63, grows from item to item, and is good for Seek on any stream of this directory of this tree.
func (s *Stream) Offset() uint64 { return s.offset }

// Seek makes Next go on at an offset that Offset gave; 0 is the start, with a listing as young as a new stream's. Near
// places cost nothing. For places in a large directory that are not kept any more, Next lists from the start again; it
// finds its place though names were added or removed before it.
func (s *Stream) Seek(offset uint64) {
	if offset == s.offset && offset != 0 {
		return
	}
	s.offset = offset
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	if offset == 0 || s.listing == nil || !s.seekNear() {
		s.detach()
		s.resume = offset != 0
	}
}

// Close ends the reading, and the requests for it that nobody else shares.
func (s *Stream) Close() {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.detach()
}

// seekNear goes to s.offset in the listing at hand. The caller holds Tree.mu.
func (s *Stream) seekNear() bool {
	n := s.offset>>hashBits - s.shift // how many records of the listing come before the place
	i, ok := s.listing.blockOf(n - 1)
	if n == 0 || !ok {
		return false
	}
	b := s.listing.blocks[i]
	at := int(n - b.base)
	if s.tree.offset(n+s.shift, b.records[at-1].name) != s.offset {
		return false
	}
	s.block, s.at, s.next, s.resume = b, at, s.listing.dropped+i+1, false
	return true
}

// catchUp reads a listing from the start up to s.offset: until the item given last has come by; or, if it does not come,
// as many items as had been given.
func (s *Stream) catchUp(ctx context.Context) error {
	const mask = 1<<hashBits - 1
	count := s.offset >> hashBits
	for _, byHash := range []bool{true, false} {
		s.Close() // a listing from its start
		for n := uint64(1); ; n++ {
			r, err := s.step(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if byHash && s.tree.offset(0, r.name) == s.offset&mask || !byHash && n == count {
				s.resume, s.shift = false, count-n
				return nil
			}
		}
	}
	s.resume = false // the directory has become shorter than that: its end is the place
	return nil
}

// errLost says that others have read so far ahead that the stream's next block is not kept any more.
var errLost = errors.New("listing has moved on")

// step gives the next record of the listing. Its errors are those of turn.
func (s *Stream) step(ctx context.Context) (*record, error) {
	for s.block == nil || s.at == len(s.block.records) {
		if s.listing == nil {
			s.listing = s.tree.join(s.dir)
		}
		changed, err := s.turn()
		if err != nil {
			return nil, err
		}
		if changed == nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.at++
	return &s.block.records[s.at-1], nil
}

// turn goes to the start of the next block, or says what to wait for. Errors: io.EOF, errLost, and what ended the
// listing; after the latter two the stream has no listing.
func (s *Stream) turn() (changed <-chan struct{}, err error) {
	t, l := s.tree, s.listing
	t.mu.Lock()
	defer t.mu.Unlock()
	i := s.next - l.dropped
	switch {
	case i < 0:
		err = errLost
	case i < len(l.blocks):
		s.block, s.at, s.next = l.blocks[i], 0, s.next+1
		l.want(s.next + 1)
		return nil, nil
	case !l.done:
		return l.changed, nil
	case l.err == nil:
		return nil, io.EOF
	default:
		err = l.err
	}
	s.detach()
	s.resume = s.offset != 0
	return nil, err
}

// detach leaves the listing. The caller holds Tree.mu.
func (s *Stream) detach() {
	if s.listing != nil {
		s.listing.leave()
	}
	s.listing, s.block, s.at, s.next, s.shift = nil, nil, 0, 0, 0
}

// offset is the offset after the n-th item, which has that name.
func (t *Tree) offset(n uint64, name string) uint64 {
	return min(n, maxCount)<<hashBits | maphash.String(t.seed, name)>>(64-hashBits)
}

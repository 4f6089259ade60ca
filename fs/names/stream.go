package names

import (
	"context"
	"errors"
	"io"
)

// errLost says that others have read so far ahead that the stream's next block is not kept any more.
var errLost = errors.New("listing has moved on")

// Stream is one reader of a directory. It is for one goroutine at a time.
type Stream struct {
	tree *Tree
	dir  string
	walk bool // it may be of a program that walks through a tree

	listing *listing // nil before the first Next, and after a failure
	block   *block   // the one being read; nil before the first
	at      int      // records of it that were given
	next    int      // the block after it, counted with the dropped ones

	own    *ownStream // nil before the first Next
	last   *record    // given by Next; nil at the start
	resume bool       // a listing is to be read from its start up to last
}

// ReadDir begins to read the directory whose prefix is dir. It asks nothing: the first Next does. The caller closes the
// stream. A directory that does not exist has no items. ctx is not kept: each Next has its own.
//
// A listing young enough costs nothing, and one under way is shared; else the store is asked page by page, one page
// ahead of the reader, and a large directory is never held whole. What passes by is known to Lookup. To begin again,
// close the stream and open another: that is free where the listing is still kept and young.
//
// Where directories of one parent are read one after another, the next ones are listed ahead.
func (t *Tree) ReadDir(_ context.Context, dir string) *Stream {
	return &Stream{tree: t, dir: dir, walk: true}
}

// stored gives the next item that the store has; see Next.
func (s *Stream) stored(ctx context.Context) (Item, error) {
	for {
		err := error(nil)
		if s.resume {
			err = s.catchUp(ctx)
		}
		var r *record
		if err == nil {
			r, err = s.step(ctx)
		}
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return Item{}, err
		}
		s.last = r
		return r.item(s.block.asked.at), nil
	}
}

// Close ends the reading, and the requests for it that nobody else shares.
func (s *Stream) Close() {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.detach()
}

// catchUp reads a listing from its start until the item given last has come by, so that nothing is lost or doubled
// though names before it came or went. If that one is gone, it is what comes after it in the order of bytes that goes
// on.
func (s *Stream) catchUp(ctx context.Context) error {
	for _, gone := range []bool{false, true} {
		s.Close() // a listing from its start
		for {
			r, err := s.step(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if gone && r.rank() > s.last.rank() {
				s.at--
			} else if gone || r.name != s.last.name {
				continue
			}
			s.resume = false
			return nil
		}
	}
	s.resume = false // nothing comes after it
	return nil
}

// step gives the next record of the listing. Its errors are those of turn, and ctx's.
func (s *Stream) step(ctx context.Context) (*record, error) {
	for s.block == nil || s.at == len(s.block.records) {
		if s.listing == nil {
			s.listing = s.tree.join(s.dir, s.walk)
			s.walk = false
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
	l := s.listing
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
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
	s.resume = s.last != nil
	return nil, err
}

// detach leaves the listing. The caller holds Tree.mu.
func (s *Stream) detach() {
	if s.listing != nil {
		s.listing.leave()
	}
	s.listing, s.block, s.at, s.next = nil, nil, 0, 0
}

package fs

import (
	"context"

	"github.com/headrace/headrace/fs/names"
)

// place is a reader's place in a directory of a bucket. It counts the items of a [names.Stream], whose order is the same
// each time as long as the directory does not change, and so gives them offsets that last.
//
// A stream only goes forward. One step back, which is what every full reply asks for, is answered from what was given last; a
// jump further back reads the listing again, which costs no request while it is fresh.
type place struct {
	open   func() *names.Stream
	stream *names.Stream // nil until an item is wanted
	read   uint64        // items the stream has given
	last   names.Item    // the latest of them
	want   uint64        // items before the place
}

// Next implements entries.
func (p *place) Next(ctx context.Context) (names.Item, error) {
	if p.stream != nil && p.want+1 == p.read {
		p.want++
		return p.last, nil
	}
	if p.want < p.read {
		p.Close()
	}
	if p.stream == nil {
		p.stream = p.open()
	}
	for p.read <= p.want {
		item, err := p.stream.Next(ctx)
		if err != nil {
			return names.Item{}, err
		}
		p.read, p.last = p.read+1, item
	}
	p.want++
	return p.last, nil
}

// Offset implements entries.
func (p *place) Offset() uint64 {
	if p.want == 0 {
		return 0
	}
	return afterDotDot + p.want
}

// Seek implements entries.
func (p *place) Seek(offset uint64) {
	p.want = max(offset, afterDotDot) - afterDotDot
	if offset == 0 {
		p.Close()
	}
}

// Close implements entries.
func (p *place) Close() {
	if p.stream != nil {
		p.stream.Close()
	}
	p.stream, p.read = nil, 0
}

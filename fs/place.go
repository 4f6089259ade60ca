package fs

import (
	"context"
	"errors"
	"io"

	"github.com/headrace/headrace/fs/names"
)

// pass goes over a directory once: a [names.Stream].
type pass interface {
	Next(ctx context.Context) (names.Item, error)
	Close()
}

// place is a reader's place in a directory of a bucket, by the number of entries before it. A pass only goes forward,
// while the kernel comes back: it asks for more than a small buffer of its caller holds, and then again for the rest.
// So what was given since the last Seek is kept, which is at most one reply. A Seek to before that begins a new pass.
// The directory may have changed since; so that names which did not are neither lost nor given twice, the new pass is
// aligned with the old one at a name that was noted on the way.
//
// INVARIANT: kept holds the entries from number first on, and the pass gives the one after them next.
// INVARIANT: marks ascend, and there are at most maxMarks.
type place struct {
	open func() pass

	current pass // nil until an entry is wanted that is not kept
	first   uint64
	kept    []names.Item
	want    uint64 // entries before the place
	marks   []mark
	stride  uint64 // entries between two marks, at least
}

// mark says that the last of so many entries had a name.
type mark struct {
	count uint64
	name  string
}

// maxMarks bounds what is noted of a directory. Beyond it every other mark is dropped, and from then on they are made
// half as often.
const maxMarks = 1024

// Next implements entries.
func (p *place) Next(ctx context.Context) (names.Item, error) {
	if p.current == nil || p.want < p.first {
		if err := p.restart(ctx); err != nil {
			return names.Item{}, err
		}
	}
	i := p.want - p.first
	for i >= uint64(len(p.kept)) {
		item, err := p.current.Next(ctx)
		if err != nil {
			return names.Item{}, err
		}
		p.kept = append(p.kept, item)
	}
	p.want++
	return p.kept[i], nil
}

// Back implements entries.
func (p *place) Back() { p.want-- }

// Offset implements entries.
func (p *place) Offset() uint64 {
	if p.want == 0 {
		return 0
	}
	return afterDotDot + p.want
}

// Seek implements entries.
func (p *place) Seek(offset uint64) {
	if offset == 0 {
		p.Close()
		p.want, p.marks, p.stride = 0, nil, 0
		return
	}
	p.want = max(offset, afterDotDot) - afterDotDot
	passed := p.want - p.first // wraps when the place is before what is kept
	if passed == 0 || passed > uint64(len(p.kept)) {
		return
	}
	p.note(mark{p.want, p.kept[passed-1].Name})
	p.kept = append(p.kept[:0], p.kept[passed:]...)
	p.first = p.want
}

// Close implements entries.
func (p *place) Close() {
	if p.current != nil {
		p.current.Close()
	}
	p.current, p.first, p.kept = nil, 0, nil
}

// note adds a mark, unless it is too near the last or before it.
func (p *place) note(m mark) {
	if n := len(p.marks); n > 0 && m.count < p.marks[n-1].count+max(p.stride, 1) {
		return
	}
	if len(p.marks) == maxMarks {
		for i := range maxMarks / 2 {
			p.marks[i] = p.marks[2*i+1]
		}
		p.marks = p.marks[:maxMarks/2]
		p.stride = m.count / maxMarks * 2
	}
	p.marks = append(p.marks, m)
}

// restart begins a new pass and takes it to the place: to the last mark before it whose name is still there, and on
// from there by count. After an error there is no pass.
func (p *place) restart(ctx context.Context) error {
	wanted := make(map[string]uint64)
	var last uint64
	for _, m := range p.marks {
		if m.count <= p.want {
			wanted[m.name], last = m.count, m.count
		}
	}
	p.Close()
	p.current = p.open()
	found, err := p.align(ctx, wanted, last)
	if err == nil && found < last { // the name is gone: once more, to the best that is left
		p.Close()
		p.current = p.open()
		found, err = p.align(ctx, wanted, found)
	}
	for p.first = found; err == nil && p.first < p.want; p.first++ {
		if _, err = p.current.Next(ctx); errors.Is(err, io.EOF) {
			p.first = p.want // the directory has become shorter: its end is the place
			return nil
		}
	}
	if err != nil {
		p.Close()
	}
	return err
}

// align takes the pass to the mark at last, or to the end of the directory when that name is gone, and returns the
// highest mark it came by.
func (p *place) align(ctx context.Context, wanted map[string]uint64, last uint64) (found uint64, err error) {
	for found < last {
		item, err := p.current.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return 0, err
		}
		if count, ok := wanted[item.Name]; ok {
			found = max(found, count)
		}
	}
	return found, nil
}

// check verifies the invariants that can be seen from here.
func (p *place) check() bool {
	for i := 1; i < len(p.marks); i++ {
		if p.marks[i-1].count >= p.marks[i].count {
			return false
		}
	}
	return len(p.marks) <= maxMarks
}

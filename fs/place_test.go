package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/headrace/headrace/fs/names"
)

// fakeDirectory is a directory that can change, and whose passes are counted.
type fakeDirectory struct {
	names  []string
	passes int
	open   int
	err    error // given instead of the next entry, once
}

func (d *fakeDirectory) start() pass {
	d.passes++
	d.open++
	return &fakePass{d: d, names: slices.Clone(d.names)}
}

type fakePass struct {
	d     *fakeDirectory
	names []string
}

func (p *fakePass) Next(context.Context) (names.Item, error) {
	if err := p.d.err; err != nil {
		p.d.err = nil
		return names.Item{}, err
	}
	if len(p.names) == 0 {
		return names.Item{}, io.EOF
	}
	name := p.names[0]
	p.names = p.names[1:]
	return names.Item{Name: name}, nil
}

func (p *fakePass) Close() { p.d.open-- }

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("n%05d", i))
	}
	return all
}

// read reads from an offset as the kernel does: replies of some entries, of which the caller takes a part.
func read(t *testing.T, p *place, offset uint64, reply, taken int) (got []string, offsets []uint64) {
	t.Helper()
	for {
		p.Seek(offset)
		n := 0
		for range reply {
			item, err := p.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if n++; n <= taken {
				got, offsets = append(got, item.Name), append(offsets, p.Offset())
			}
		}
		if n == 0 {
			return got, offsets
		}
		if _, err := p.Next(t.Context()); err == nil { // what did not fit
			p.Back()
		}
		offset = offsets[len(offsets)-1]
		if !p.check() {
			t.Fatalf("marks do not ascend: %v", p.marks)
		}
	}
}

// TestPlaceComesBackWithinAReply in one pass, whatever part of each reply the caller takes.
func TestPlaceComesBackWithinAReply(t *testing.T) {
	for _, taken := range []int{1, 3, 10} {
		d := &fakeDirectory{names: numbered(0, 100)}
		p := &place{open: d.start}
		if got, _ := read(t, p, 0, 10, taken); !slices.Equal(got, d.names) {
			t.Errorf("taking %d: %v", taken, got)
		}
		if d.passes != 1 || len(p.kept) > 11 {
			t.Errorf("taking %d: %d passes, %d entries kept", taken, d.passes, len(p.kept))
		}
		if p.Close(); d.open != 0 {
			t.Errorf("%d passes are open", d.open)
		}
	}
}

// TestPlaceFindsOffsetsAgain, in any order, and the start with a new look.
func TestPlaceFindsOffsetsAgain(t *testing.T) {
	d := &fakeDirectory{names: numbered(0, 100)}
	p := &place{open: d.start}
	_, offsets := read(t, p, 0, 10, 10)
	for _, i := range []int{50, 3, 98, 99, 0} {
		if got, _ := read(t, p, offsets[i], 7, 7); !slices.Equal(got, d.names[i+1:]) {
			t.Errorf("after %d: %v", i, got)
		}
	}
	d.names = numbered(200, 210)
	if got, _ := read(t, p, 0, 10, 10); !slices.Equal(got, d.names) {
		t.Errorf("rewound: %v", got)
	}
	other := &place{open: d.start}
	if got, _ := read(t, other, offsets[4], 10, 10); !slices.Equal(got, d.names[5:]) {
		t.Errorf("an offset of another handle: %v", got)
	}
}

// TestPlaceInChangedDirectory: coming back, names that did not change are neither lost nor given twice, also where the
// name that was noted has gone.
func TestPlaceInChangedDirectory(t *testing.T) {
	for _, gone := range []string{"n00005", "n00039", "n00040", "n00041"} {
		d := &fakeDirectory{names: numbered(0, 100)}
		p := &place{open: d.start}
		read(t, p, 0, 10, 10)
		d.names = slices.DeleteFunc(slices.Concat([]string{"added1", "added2", "added3"}, d.names), func(n string) bool { return n == gone })
		const back = 40 // entries before the place: a mark
		got, _ := read(t, p, afterDotDot+back, 10, 10)
		want := slices.DeleteFunc(numbered(back, 100), func(n string) bool { return n == gone })
		if gone == "n00039" { // the noted name itself: found by the mark before it, and on by count, one too far
			want = want[1:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("without %s: %v", gone, got)
		}
	}
	d := &fakeDirectory{names: numbered(0, 100)}
	p := &place{open: d.start}
	read(t, p, 0, 10, 10)
	d.names = d.names[:20]
	if got, _ := read(t, p, afterDotDot+40, 10, 10); len(got) != 0 {
		t.Errorf("a place that is beyond the end now: %v", got)
	}
}

// TestPlaceGoesOnAfterAnError where it was.
func TestPlaceGoesOnAfterAnError(t *testing.T) {
	d := &fakeDirectory{names: numbered(0, 30)}
	p := &place{open: d.start}
	failed := errors.New("failed")
	var got []string
	for i := 0; ; i++ {
		if i%7 == 0 {
			d.err = failed
		}
		item, err := p.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			got = append(got, item.Name)
		} else if !errors.Is(err, failed) {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, d.names) {
		t.Errorf("got %v", got)
	}
	p.Seek(afterDotDot + 10) // lets go of what is before
	p.Seek(afterDotDot + 3)
	d.err = failed
	if _, err := p.Next(t.Context()); !errors.Is(err, failed) {
		t.Errorf("a new pass that fails: %v", err)
	}
	if item, err := p.Next(t.Context()); err != nil || item.Name != "n00003" {
		t.Errorf("after that: %v, %v", item.Name, err)
	}
}

// TestPlaceMarksAreBounded and lie evenly.
func TestPlaceMarksAreBounded(t *testing.T) {
	d := &fakeDirectory{names: numbered(0, 5000)}
	p := &place{open: d.start}
	read(t, p, 0, 1, 1)
	if len(p.marks) > maxMarks || len(p.marks) < maxMarks/2 || p.marks[0].count > 2*5000/(maxMarks/2) {
		t.Errorf("%d marks, the first at %d", len(p.marks), p.marks[0].count)
	}
}

// TestReadDirRepliesOfAnySize have all names once, with the kinds and numbers that lookup has; with attributes, each
// counts as a lookup.
func TestReadDirRepliesOfAnySize(t *testing.T) {
	b := newFakeBucket()
	for _, name := range numbered(0, 200) {
		b.put("dir/"+name, nil)
	}
	b.put("dir/sub/x", nil)
	cfg, _ := testConfig(t, b)
	d := newDriver(t, cfg)
	dir := d.node("dir")
	want := append(append([]string{".", ".."}, numbered(0, 200)...), "sub")
	for _, plus := range []bool{false, true} {
		for _, size := range []int{200, 333, 4096, 1 << 20} {
			var got []string
			for _, e := range d.list(dir, size, plus) {
				got = append(got, e.Name)
				if e.Name[0] == '.' {
					continue
				}
				out, _ := d.lookup("dir/" + e.Name)
				if out.Ino != e.Ino || out.Mode&^0o7777 != e.Mode {
					t.Errorf("%s: number %d and mode %o, but lookup says %d and %o", e.Name, e.Ino, e.Mode, out.Ino, out.Mode)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("plus %v, size %d: %v", plus, size, got)
			}
		}
	}
	id := d.node("dir/n00000")
	const lookups = 8 + 4 + 1 // one with each listing above, four of these with attributes, and the one just now
	d.fs.Forget(id, lookups-1)
	if d.fs.nodes.get(id) == nil {
		t.Error("forgotten too early")
	}
	d.fs.Forget(id, 1)
	if d.fs.nodes.get(id) != nil {
		t.Error("not forgotten")
	}
}

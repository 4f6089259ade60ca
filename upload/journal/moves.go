package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/headrace/headrace/objstore"
)

// MovesHead says what a rename of many objects is about.
type MovesHead struct {
	Bucket, Endpoint string
	From, To         string // prefixes, or keys when it is about one object
	Created          time.Time
}

// Move is one object of a rename.
type Move struct {
	From, To  string
	ETag      string // of what is moved
	Size      int64
	Condition objstore.Condition // on what To holds
}

// Moves is the log of a rename of objects. First all moves are planned; from when the plan is whole on, it is carried out, and is
// finished by another mount if this one dies. The plan is in the file only: it may be of millions.
//
// Planned and Listed come first, one at a time. Then Moved and Unmoved may be called by many.
type Moves struct {
	dir  *Dir
	id   string
	log  *logFile
	head MovesHead

	planned int64
	whole   bool
	moved   bitmap // as it was when the log was opened
}

// BeginMoves makes the log of a rename.
func (d *Dir) BeginMoves(head MovesHead) (*Moves, error) {
	id := newID()
	log, err := createLog(d.file(id+movesSuffix), beginMoves{head})
	if err != nil {
		return nil, err
	}
	return &Moves{dir: d, id: id, log: log, head: head}, nil
}

// Plan adds moves to the plan, with one write.
func (m *Moves) Plan(moves []Move) error {
	lines := make([]Step, len(moves))
	for i, one := range moves {
		lines[i] = planned{one}
	}
	if err := m.log.append(lines...); err != nil {
		return err
	}
	m.planned += int64(len(moves))
	return nil
}

// Listed says that the plan is whole. Nothing may be moved before.
func (m *Moves) Listed() error {
	m.whole = true
	return m.log.append(listed{})
}

// Moved says that a move is done.
func (m *Moves) Moved(index int64) error { return m.log.append(moved{index}) }

// Unmoved says why a move cannot be done.
func (m *Moves) Unmoved(index int64, reason string) error {
	return m.log.append(unmoved{index, reason})
}

// ID names the rename, to people as well.
func (m *Moves) ID() string { return m.id }

// Head is what it is about.
func (m *Moves) Head() MovesHead { return m.head }

// Pending yields the moves that were not done when the log was opened, with their indices.
func (m *Moves) Pending() iter.Seq2[int64, Move] {
	return func(yield func(int64, Move) bool) {
		for i, one := range m.plan() {
			if !m.moved.has(i) && !yield(i, one) {
				return
			}
		}
	}
}

// plan yields the moves in order, from the file. The log was found sound when it was opened.
func (m *Moves) plan() iter.Seq2[int64, Move] {
	return func(yield func(int64, Move) bool) {
		index := int64(0)
		for s, err := range steps(io.NewSectionReader(m.log.file, 0, m.log.length())) {
			if err != nil {
				return
			}
			p, ok := s.(planned)
			if ok && !yield(index, p.Move) {
				return
			}
			if ok {
				index++
			}
		}
	}
}

// Remove removes the log: all is done, or given up.
func (m *Moves) Remove() error {
	return errors.Join(os.Remove(m.dir.file(m.id+movesSuffix)), m.Close())
}

// Close leaves the log for the next mount.
func (m *Moves) Close() error { return m.log.file.Close() }

// MovesRecord is what the log of a rename comes to.
type MovesRecord struct {
	ID string
	MovesHead
	Whole   bool // the plan is; otherwise nothing was moved
	Planned int64
	Done    int64
	Reason  string // why the last move that could not be done could not
	Damage  error  // nothing may be done by the log
}

// ResumeMoves goes on with a rename that a dead mount left. One that is damaged is not opened.
func (d *Dir) ResumeMoves(id string) (*Moves, MovesRecord, error) {
	log, content, err := reopenLog(d.file(id + movesSuffix))
	if err != nil {
		return nil, MovesRecord{}, err
	}
	r, done := replayMoves(id, bytes.NewReader(content))
	if r.Damage != nil {
		return nil, r, errors.Join(fmt.Errorf("journal: %s: %w", id, r.Damage), log.file.Close())
	}
	return &Moves{dir: d, id: id, log: log, head: r.MovesHead, planned: r.Planned, whole: r.Whole, moved: done}, r, nil
}

// Moves is what the logs of renames in the directory come to, those that are damaged too.
func (d *Dir) Moves() ([]MovesRecord, error) {
	ids, err := d.names(movesSuffix)
	if err != nil {
		return nil, err
	}
	var records []MovesRecord
	for _, id := range ids {
		f, err := os.Open(d.file(id + movesSuffix))
		if errors.Is(err, os.ErrNotExist) {
			continue // of a living mount, which has just finished it
		} else if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		r, _ := replayMoves(id, f)
		records = append(records, r)
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	return records, nil
}

// replayMoves is what the log of a rename comes to, and which moves are done.
func replayMoves(id string, log io.Reader) (r MovesRecord, done bitmap) {
	r.ID = id
	begun := false
	for s, err := range steps(log) {
		if err == nil {
			err = r.follow(s, &begun, &done)
		}
		if err != nil {
			r.Damage = err
			return r, done
		}
	}
	if !begun {
		r.Damage = fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	return r, done
}

// follow takes one step. One that cannot come here is damage.
func (r *MovesRecord) follow(s Step, begun *bool, done *bitmap) error {
	misplaced := fmt.Errorf("%w: step %s out of place", ErrDamaged, s.name())
	b, first := s.(beginMoves)
	if first == *begun {
		return misplaced
	}
	switch s := s.(type) {
	case beginMoves:
		*begun, r.MovesHead = true, b.MovesHead
	case planned:
		if r.Whole || s.Size < 0 {
			return misplaced
		}
		r.Planned++
	case listed:
		r.Whole = true
	case moved:
		if !r.Whole || s.Index < 0 || s.Index >= r.Planned {
			return misplaced
		}
		if !done.has(s.Index) {
			done.set(s.Index)
			r.Done++
		}
	case unmoved:
		r.Reason = s.Reason
	default:
		return misplaced
	}
	return nil
}

// bitmap is a set of small numbers.
type bitmap []uint64

func (b bitmap) has(i int64) bool {
	return i/64 < int64(len(b)) && b[i/64]&(1<<(i%64)) != 0
}

func (b *bitmap) set(i int64) {
	for int64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

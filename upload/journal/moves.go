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

// Moves is the log of a rename of objects. First all moves are planned; from when the plan is whole on, it is carried
// out, and is finished by another mount if this one dies. The plan is in the file only: it may be of millions.
//
// Planned and Listed come first, one at a time. Then Moved and Unmoved may be called by many.
type Moves struct {
	dir  *Dir
	id   string
	log  *logFile
	head MovesHead

	moved bitmap // as it was when the log was opened
}

// BeginMoves makes the log of a rename.
func (d *Dir) BeginMoves(head MovesHead) (*Moves, error) {
	id := newID()
	log, err := d.createLog(id+movesSuffix, beginMoves{head})
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
	return m.log.append(lines...)
}

// Listed says that the plan is whole. Nothing may be moved before.
func (m *Moves) Listed() error { return m.log.append(listed{}) }

// Moved says that a move is done.
func (m *Moves) Moved(index int64) error { return m.log.append(moved{index}) }

// Unmoved says why a move cannot be done.
func (m *Moves) Unmoved(index int64, reason string) error {
	return m.log.append(unmoved{index, reason})
}

// Copying says that a multipart upload is about to be created for a move.
func (m *Moves) Copying(index int64, at time.Time) error { return m.log.append(copyIntent{index, at}) }

// CopyID says that it is there, under an id.
func (m *Moves) CopyID(index int64, id string) error { return m.log.append(copyBegun{index, id}) }

// Copied says that it is not there any more: completed, aborted, or never created.
func (m *Moves) Copied(index int64) error { return m.log.append(copyEnded{index}) }

// Stopped says that whoever asked for the rename was told what could not be moved: nobody is to go on with it unasked.
func (m *Moves) Stopped() error { return m.log.append(stopped{}) }

// ID names the rename, to people as well.
func (m *Moves) ID() string { return m.id }

// Head is what it is about.
func (m *Moves) Head() MovesHead { return m.head }

// Pending yields the moves that were not done when the log was opened, with their indices.
func (m *Moves) Pending() iter.Seq2[int64, Move] {
	return func(yield func(int64, Move) bool) {
		for i, one := range m.plan() {
			if !m.moved.Has(i) && !yield(i, one) {
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

// Sync has the log be on the disk. Its name is, once [Dir.SyncNames] has returned.
func (m *Moves) Sync() error {
	if err := m.dir.fdatasync(m.log.file); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Remove removes the log: all is done, or given up.
func (m *Moves) Remove() error {
	return errors.Join(os.Remove(m.dir.file(m.id+movesSuffix)), m.Close())
}

// DropMoves removes the log of a rename, whatever is in it.
func (d *Dir) DropMoves(id string) error { return os.Remove(d.file(id + movesSuffix)) }

// Close leaves the log for the next mount.
func (m *Moves) Close() error { return m.log.file.Close() }

// MovesRecord is what the log of a rename comes to.
type MovesRecord struct {
	ID string
	MovesHead
	Whole   bool // the plan is; otherwise nothing was moved
	Planned int64
	Done    int64
	Stopped bool                // whoever asked for it knows that it is not finished
	Reason  string              // why the last move that could not be done could not
	Copies  map[int64]Multipart // multipart uploads of moves that may be in the store
	Damage  error               // nothing may be done by the log
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
	return &Moves{dir: d, id: id, log: log, head: r.MovesHead, moved: done}, r, nil
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
	if _, first := s.(beginMoves); first == *begun {
		return misplaced
	}
	switch s := s.(type) {
	case beginMoves:
		*begun, r.MovesHead = true, s.MovesHead
	case planned:
		if r.Whole || s.Size < 0 {
			return misplaced
		}
		r.Planned++
	case listed:
		r.Whole = true
	case moved:
		if !r.has(s.Index) {
			return misplaced
		}
		if !done.Has(s.Index) {
			done.set(s.Index)
			r.Done++
		}
	case unmoved:
		r.Reason = s.Reason
	case stopped:
		r.Stopped = true
	case copyIntent, copyBegun, copyEnded:
		if !r.followCopy(s) {
			return misplaced
		}
	default:
		return misplaced
	}
	return nil
}

// has tells whether a move of that index may be carried out.
func (r *MovesRecord) has(index int64) bool { return r.Whole && index >= 0 && index < r.Planned }

// followCopy takes the steps of the multipart upload of one move.
func (r *MovesRecord) followCopy(s Step) bool {
	switch s := s.(type) {
	case copyIntent:
		if r.Copies == nil {
			r.Copies = map[int64]Multipart{}
		}
		r.Copies[s.Index] = Multipart{Initiated: s.At}
		return r.has(s.Index)
	case copyBegun:
		u, intended := r.Copies[s.Index]
		u.ID = s.ID
		if intended {
			r.Copies[s.Index] = u
		}
		return intended
	case copyEnded:
		delete(r.Copies, s.Index)
	}
	return true
}

// bitmap is a set of small numbers.
type bitmap []uint64

// Has tells whether a number is in the set.
func (b bitmap) Has(i int64) bool {
	return i/64 < int64(len(b)) && b[i/64]&(1<<(i%64)) != 0
}

func (b *bitmap) set(i int64) {
	for int64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

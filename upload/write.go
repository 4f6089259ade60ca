package upload

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// noteEvery is how many bytes of a new file are written before the log says so again. Of a changed one each is said:
// what is local cannot be told from the data file alone.
const noteEvery = 1 << 20

// WriteAt puts p into the file: all of it, or there is an error. It waits while there is no room on the disk that the
// store may still make. Errors: ENOSPC, EDQUOT and the like from the disk, EFBIG, what has become of the name
// (objstore.ErrChanged), and ctx's.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) error {
	r := objstore.Range{Off: off, Len: int64(len(p))}
	if r.Empty() {
		return nil
	}
	return f.change(ctx, r, func(s *journal.Upload) error {
		_, err := s.Data().WriteAt(p, off)
		return err
	})
}

// change has bytes of the staging file be written by do.
func (f *File) change(ctx context.Context, r objstore.Range, do func(*journal.Upload) error) error {
	if r.End() > f.uploads.sizes.most() {
		return fmt.Errorf("upload: %s: %w", f.name(), syscall.EFBIG)
	}
	s, err := f.stage(ctx)
	if err != nil {
		return err
	}
	room := f.missing(r)
	if err := f.uploads.budget.take(ctx, room, func() {
		f.uploads.endRests() // what is stored gives its room back
		_ = f.letGo(ctx)
	}); err != nil {
		return err
	}
	for {
		written, full, err := f.put(ctx, s, r, room, do)
		if full && f.makeRoom(ctx, s) {
			continue
		}
		if !written {
			f.uploads.budget.give(room)
		}
		return err
	}
}

// put is one try to write bytes for which room was taken; written: that is accounted for. full: the disk itself has
// none.
func (f *File) put(ctx context.Context, s *journal.Upload, r objstore.Range, room int64, do func(*journal.Upload) error) (written, full bool, err error) {
	if err := f.turn.enter(ctx); err != nil {
		return false, false, err
	}
	defer f.turn.leave()
	if err := f.writable(r); err != nil {
		return false, false, err
	}
	if err := do(s); err != nil {
		return false, errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT), err
	}
	return true, false, f.changed(s, r, room)
}

// makeRoom lets go of a part that the store has, or is about to have, for a disk that is full before the budget is used
// up. Half of a write may have gone to the end of the file, and taken the room that the log needs for it.
func (f *File) makeRoom(ctx context.Context, s *journal.Upload) bool {
	if f.turn.hold(ctx) != nil {
		return false
	}
	size := f.Size()
	info, err := s.Data().Stat()
	if err == nil && info.Size() > size {
		err = s.Data().Truncate(size)
	}
	f.turn.release()
	if err != nil {
		return false
	}
	if f.letGo(ctx) {
		return true
	}
	f.mu.Lock()
	var next *part
	if f.multipart != nil {
		for _, p := range f.multipart.parts {
			if p.sent == nil && (next == nil || p.Off < next.Off) {
				next = p
			}
		}
	}
	f.mu.Unlock()
	if next == nil {
		return false
	}
	select {
	case <-next.done:
		return f.letGo(ctx)
	case <-ctx.Done():
		return false
	}
}

// missing is how many bytes of r are not in the staging file.
func (f *File) missing(r objstore.Range) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missingLocked(r)
}

func (f *File) missingLocked(r objstore.Range) (n int64) {
	for _, gap := range f.content.local.gaps(r) {
		n += gap.Len
	}
	return n
}

// writable tells why bytes cannot be changed.
func (f *File) writable(r objstore.Range) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.lost != nil:
		return f.lost
	case f.content.released.overlaps(r):
		return fmt.Errorf("upload: bytes that are stored as parts, and were let go from the disk: %w", syscall.ENOSPC)
	}
	return nil
}

// changed notes what was written, for which room was taken, and has parts be sent that are complete.
func (f *File) changed(s *journal.Upload, r objstore.Range, room int64) error {
	f.mu.Lock()
	fresh := min(f.missingLocked(r), room) // a hole takes none
	line := f.content.write(r)
	f.charged += fresh
	f.touched, f.resting.saved = f.uploads.cfg.Now(), false
	f.spoil(r)
	line, due := f.lineFor(line)
	f.sendEarly(r)
	f.mu.Unlock()
	f.uploads.budget.give(room - fresh)
	if !due {
		return nil
	}
	return s.Note(journal.Local{Range: line})
}

// lineFor decides what the log is to say of bytes that are newly local. The caller holds mu.
func (f *File) lineFor(fresh objstore.Range) (line objstore.Range, due bool) {
	if fresh.Empty() || f.content.base.ETag != "" {
		return fresh, !fresh.Empty()
	}
	if fresh.Off > f.noted.End() || fresh.End() < f.noted.Off { // elsewhere
		f.noted = fresh
		return fresh, true
	}
	end := max(f.noted.End(), fresh.End())
	f.noted.Len = end - f.noted.Off
	if f.noted.Len < noteEvery {
		return objstore.Range{}, false
	}
	line, f.noted = f.noted, objstore.Range{Off: end}
	return line, true
}

// Truncate gives the file another size. What is new reads as zeros.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if size > f.uploads.sizes.most() {
		return fmt.Errorf("upload: %s: %w", f.name(), syscall.EFBIG)
	}
	if err := f.turn.hold(ctx); err != nil {
		return err
	}
	defer f.turn.release()
	f.mu.Lock()
	err, lost := error(nil), f.lost
	if kept := f.content.released; len(kept) > 0 && size > 0 && size < kept[len(kept)-1].End() {
		err = fmt.Errorf("upload: bytes that are stored as parts, and were let go from the disk: %w", syscall.ENOSPC)
	}
	f.mu.Unlock()
	if lost != nil {
		err = lost
	}
	if err != nil {
		return err
	}
	s, err := f.stageHeld()
	if err != nil {
		return err
	}
	if err := s.Data().Truncate(size); err != nil {
		return err
	}
	f.mu.Lock()
	before := f.content.size
	f.content.truncate(size)
	f.spoil(objstore.Range{Off: min(before, size), Len: max(before, size) - min(before, size)})
	given := max(0, f.charged-f.content.local.bytes())
	f.charged -= given
	f.noted = objstore.Range{Off: size}
	f.touched, f.resting.saved = f.uploads.cfg.Now(), false
	f.mu.Unlock()
	f.uploads.budget.give(given)
	return s.Note(journal.Truncate{Size: size})
}

// Allocate does what fallocate(2) says: make the file longer, or bytes of it zeros. objstore.ErrUnsupported for other
// modes.
func (f *File) Allocate(ctx context.Context, off, length int64, mode uint32) error {
	const keep, punch, zero = unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE
	r := objstore.Range{Off: off, Len: length}
	size := f.Size()
	if mode&keep != 0 {
		r = r.Intersect(objstore.Range{Len: size})
	}
	switch mode {
	case keep: // there is room as long as the budget lasts
		return nil
	case 0:
		if r.End() <= size {
			return nil
		}
		return f.Truncate(ctx, r.End())
	case punch | keep, zero | keep, zero:
	default:
		return objstore.ErrUnsupported
	}
	if r.Empty() {
		return nil
	}
	return f.zero(ctx, r)
}

// zero has bytes read as zeros: a hole in the staging file.
func (f *File) zero(ctx context.Context, r objstore.Range) error {
	if err := f.turn.hold(ctx); err != nil {
		return err
	}
	defer f.turn.release()
	if err := f.writable(r); err != nil {
		return err
	}
	s, err := f.stageHeld()
	if err != nil {
		return err
	}
	info, err := s.Data().Stat()
	if err != nil {
		return err
	}
	if r.End() > info.Size() { // which is less than the file's where the base is not local
		if err := s.Data().Truncate(r.End()); err != nil {
			return err
		}
	}
	const hole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(s.Data().Fd()), hole, r.Off, r.Len); err != nil {
		return err
	}
	return f.changed(s, r, 0)
}

// Localise brings what is the base's into the staging file, so that the file outlives the object: objstore.ErrQuota
// when that is more than limit bytes.
func (f *File) Localise(ctx context.Context, limit int64) error {
	if err := f.turn.hold(ctx); err != nil {
		return err
	}
	defer f.turn.release()
	whole := objstore.Range{Len: f.Size()}
	if f.missing(whole) > limit {
		return objstore.ErrQuota
	}
	return f.fetch(ctx, whole)
}

// fetchUnit is how much is fetched with one call.
const fetchUnit = 1 << 20

// fetch brings what is missing of r into the staging file. The caller holds the turnstile.
func (f *File) fetch(ctx context.Context, r objstore.Range) error {
	f.mu.Lock()
	gaps, base := f.content.local.gaps(r), f.content.base
	f.mu.Unlock()
	if len(gaps) == 0 {
		return nil
	}
	s, err := f.stageHeld()
	if err != nil {
		return err
	}
	var buffer []byte
	for _, gap := range gaps {
		for !gap.Empty() {
			piece := objstore.Range{Off: gap.Off, Len: min(gap.Len, fetchUnit)}
			gap.Off, gap.Len = piece.End(), gap.Len-piece.Len
			if buffer == nil {
				buffer = make([]byte, min(fetchUnit, r.Len))
			}
			if err := f.fetchPiece(ctx, s, base, piece, buffer[:piece.Len]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *File) fetchPiece(ctx context.Context, s *journal.Upload, base Base, piece objstore.Range, buffer []byte) error {
	n, err := f.uploads.cfg.Content.ReadAt(ctx, base, buffer, piece.Off)
	if err == nil && n < len(buffer) {
		err = fmt.Errorf("upload: %v ends early: %w", base, objstore.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	f.uploads.budget.force(piece.Len) // who stores the file needs it, and gives it back then
	_, err = s.Data().WriteAt(buffer, piece.Off)
	if err == nil && !f.uploads.cfg.WriteBack { // what was acknowledged there must not come to rely on bytes that a loss of power takes; they are fetched again
		err = s.Note(journal.Local{Range: piece, Fetched: true})
	}
	if err != nil {
		f.uploads.budget.give(piece.Len)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content.fetched(piece)
	f.charged += piece.Len
	return nil
}

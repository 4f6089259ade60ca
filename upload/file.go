package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// File is a file that is being written. All methods may be called at the same time from many goroutines.
type File struct {
	uploads *Uploads
	resumed string     // the id under which it was in the journal when the mount began, or a person asked
	turn    *turnstile // writers go in together; who needs the content to stay as it is goes in alone
	listed  string     // the key by which it is on the list; guarded by Uploads.mu

	mu          sync.Mutex // guards what is below; held across no I/O
	target      Target
	content     content
	staging     *journal.Upload // nil until something changes
	charged     int64           // bytes of the budget
	names       int             // lines of the log that say what has become of its name
	namesSynced int             // how many of them are on the disk for certain
	noted       objstore.Range  // local bytes that are in the log or will be with the next line
	multipart   *multipart      // nil when no parts are sent
	aborting    int             // multipart uploads that the store is being asked to forget
	spoiled     map[int]bool    // parts that were changed after they had been sent: they are not sent early again
	publication *publication    // under way
	retry       retry
	resting     rest
	onStored    func(objstore.Entry, error)
	describe    func() map[string]string // nil where nobody has anything to say
	redescribed bool                     // it says something else since the attempt under way, or the last one, began
	last        objstore.Entry           // what was stored last
	lost        error                    // it will never be stored
	failure     error                    // of the last attempt
	doubtful    bool                     // an attempt may have come through without an answer
	unanswered  []unanswered             // such attempts, where there is something to know their objects by
	touched     time.Time
	discarded   bool
	withdrawn   chan struct{} // not nil while it is discarded for now; closed when that is decided
	tentative   bool          // that its target is refused is not for good: see Rename
	refused     error         // and it was: it is withdrawn
	closed      bool
	finished    bool
}

func newFile(u *Uploads, t Target, base Base) *File {
	return &File{
		uploads: u, turn: newTurnstile(), target: t, content: newContent(base), touched: u.cfg.Now(),
		last:     objstore.Entry{Key: t.Replaces.Key, ETag: t.Replaces.ETag, Size: t.Replaces.Size},
		onStored: func(objstore.Entry, error) {},
	}
}

// OnStored makes g the one function that is told how each publication ended, also of those that nobody waits for. It is
// called in their order, and under no lock. It is set before the first.
func (f *File) OnStored(g func(objstore.Entry, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onStored = g
}

// Size is how long the file is, in bytes.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.size
}

// Changed tells whether there is something to be stored, unless the file is given up. That is so of a new file that
// nothing was written to.
func (f *File) Changed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.dirty && (!f.discarded || f.withdrawn != nil)
}

// Local tells whether bytes can be read without the store.
func (f *File) Local(r objstore.Range) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.local.covers(r.Intersect(objstore.Range{Len: f.content.size}))
}

// Touched is when the content last changed.
func (f *File) Touched() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.touched
}

// ReadAt fills p with bytes from off on; n is less than len(p) only at the end of the file. EIO for bytes that were let
// go from the disk.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	f.mu.Lock()
	r := objstore.Range{Off: off, Len: int64(len(p))}.Intersect(objstore.Range{Len: f.content.size})
	if r.Empty() {
		f.mu.Unlock()
		return 0, nil
	}
	gone := f.content.released.overlaps(r)
	pieces, base, staging := f.content.pieces(r), f.content.base, f.staging
	f.mu.Unlock()
	if gone {
		return 0, fmt.Errorf("upload: bytes of %s that are stored as parts, and were let go from the disk: %w", f.name(), syscall.EIO)
	}
	for _, piece := range pieces {
		into := p[piece.Off-off : piece.End()-off]
		var got int
		if piece.local {
			got, err = staging.Data().ReadAt(into, piece.Off)
			if errors.Is(err, io.EOF) { // cut meanwhile
				err = nil
			}
		} else {
			got, err = f.uploads.cfg.Content.ReadAt(ctx, base, into, piece.Off)
		}
		n += got
		if err != nil || got < len(into) {
			return n, err
		}
	}
	return n, nil
}

// name is the file in logs and errors.
func (f *File) name() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("s3://%s/%s", f.target.Bucket.Name(), f.target.Key)
}

// stage is the file's place on the disk, made when it is first needed.
func (f *File) stage(ctx context.Context) (*journal.Upload, error) {
	f.mu.Lock()
	s := f.staging
	f.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if err := f.turn.hold(ctx); err != nil {
		return nil, err
	}
	defer f.turn.release()
	return f.stageHeld()
}

// stageHeld is stage for who holds the turnstile.
func (f *File) stageHeld() (*journal.Upload, error) {
	metadata := f.described()
	f.mu.Lock()
	s, t := f.staging, f.target
	begin := journal.Begin{
		Bucket: t.Bucket.Name(), Endpoint: t.Bucket.Endpoint(), Key: t.Key, Replaces: t.Replaces, Base: f.content.base,
		Exclusive: t.Exclusive, Attributes: t.Attributes, Metadata: metadata, Created: f.uploads.cfg.Now(),
	}
	f.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := f.uploads.cfg.Journal.Begin(begin)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.staging = s
	return s, nil
}

// note puts a step into the log, if there is one.
func (f *File) note(s journal.Step) error {
	f.mu.Lock()
	staging := f.staging
	f.mu.Unlock()
	if staging == nil {
		return nil
	}
	return staging.Note(s)
}

// Close says that nobody has the file open any more. What is not stored is stored without anybody's waiting for it.
func (f *File) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.goOn()
}

// goOn has a closed file be stored, where that is not under way nor to be tried later, or finishes it.
func (f *File) goOn() {
	f.mu.Lock()
	due := f.closed && f.content.dirty && !f.discarded && f.lost == nil && f.publication == nil && f.retry.timer == nil && f.resting.timer == nil
	f.mu.Unlock()
	if due {
		f.begin()
	}
	f.finish()
}

// finish gives everything back once the file is closed and nothing of it is to be stored.
func (f *File) finish() {
	f.mu.Lock()
	pending := f.content.dirty && !f.discarded && f.lost == nil
	if !f.closed || f.finished || f.publication != nil || f.aborting > 0 || f.withdrawn != nil || pending {
		f.mu.Unlock()
		return
	}
	f.finished = true
	staging, charged, lost := f.staging, f.charged, f.lost != nil && !f.discarded
	whole := !f.discarded && f.content.local.covers(objstore.Range{Len: f.content.size})
	version := f.content.base
	f.charged = 0
	f.mu.Unlock()
	u := f.uploads
	end := func() {
		u.budget.give(charged)
		u.forget(f)
	}
	switch {
	case staging == nil:
	case lost: // its owner decides
		f.logFailure("close", staging.Close())
	case whole && u.cfg.Adopt != nil && version.ETag != "" && version.Size > 0:
		adoption := u.cfg.Adopt(version, staging.Data())
		if u.start(func() {
			defer end()
			if adoption.Take() {
				staging.Share()
			}
			f.carry(version)
			f.logFailure("remove", staging.Remove())
		}) {
			return
		}
		adoption.Leave()
		fallthrough
	default:
		f.logFailure("remove", staging.Remove())
	}
	end()
}

// carry has what was taken over of a version go by the key that it was given meanwhile: who moved it found nothing to
// take along. A move that is under way is waited for.
func (f *File) carry(adopted Base) {
	u := f.uploads
	for {
		f.mu.Lock()
		t, now := f.target, f.content.base
		f.mu.Unlock()
		h := u.heldBy(t)
		switch {
		case h != nil:
			select {
			case <-h.ended:
			case <-u.life.Done():
				return
			}
		case now != adopted:
			u.cfg.Renamed(adopted, now)
			adopted = now
		default:
			return
		}
	}
}

// leave closes the staging files when the mount ends, for the next one to find.
func (f *File) leave() error {
	f.mu.Lock()
	staging, done := f.staging, f.finished
	f.finished = true
	f.retry.cancel()
	f.resting.cancel()
	f.mu.Unlock()
	f.uploads.forget(f)
	if staging == nil || done {
		return nil
	}
	return staging.Close()
}

// logFailure says what went wrong with the staging files where nobody can be told.
func (f *File) logFailure(what string, err error) {
	if err != nil {
		f.uploads.cfg.Log.Warn("staging file", "operation", what, "name", f.name(), "error", err)
	}
}

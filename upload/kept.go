package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// What a person decides about something that is not stored, by the id of its log.

var (
	// ErrBeingWritten: a process has the file open.
	ErrBeingWritten = errors.New("a process is writing it")
	// ErrBeingMoved: a rename is under way.
	ErrBeingMoved = errors.New("it is being moved")
	// ErrReplaced: the key holds what somebody else has put there, and that was not to be replaced.
	ErrReplaced = errors.New("somebody else has put something under its name")
)

// Retry stores a file now, or goes on with a rename. A file that is in conflict replaces what its key holds if replace
// says so, and is ErrReplaced otherwise.
func (u *Uploads) Retry(ctx context.Context, buckets Buckets, id string, replace bool) error {
	if rename, found, err := u.rename(id); err != nil {
		return err
	} else if found {
		return u.retryRename(ctx, buckets, rename)
	}
	return u.withFile(ctx, buckets, id, func(f *File) error {
		if f.conflict() != nil {
			if !replace {
				return ErrReplaced
			}
			if err := f.retarget(ctx, f.key(), false); err != nil {
				return err
			}
		}
		f.calm()
		_, err := f.Store(ctx) // the answer says that it is stored
		return err
	})
}

// StoreAs stores a file under another key, under which there must be nothing.
func (u *Uploads) StoreAs(ctx context.Context, buckets Buckets, id, key string) error {
	return u.withFile(ctx, buckets, id, func(f *File) error {
		if err := f.retarget(ctx, key, true); err != nil {
			return err
		}
		_, err := f.Store(ctx) // the answer says that it is stored
		return err
	})
}

// Abort gives something up: what was written is gone. A rename stays as far as it is.
func (u *Uploads) Abort(ctx context.Context, buckets Buckets, id string) error {
	if rename, found, err := u.rename(id); err != nil {
		return err
	} else if found {
		return u.abortRename(ctx, buckets, rename)
	}
	if f := u.byID(id); f != nil {
		if !f.forgotten() {
			return ErrBeingWritten
		}
		f.Discard(ctx)
		return nil
	}
	r, data, err := u.cfg.Journal.Look(id)
	if err != nil {
		return err
	}
	if data != nil {
		_ = data.Close() // it was only read
	}
	if r.Damage != nil {
		return u.cfg.Journal.Drop(id)
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		return err
	}
	r.Released = nil // nothing of it is needed
	if _, err := u.settleUploads(ctx, b, r); err != nil {
		return err
	}
	return u.cfg.Journal.Drop(id)
}

// byID is a file that is open, or being stored.
func (u *Uploads) byID(id string) *File {
	all := u.all()
	if i := slices.IndexFunc(all, func(f *File) bool { s, _ := f.live(); return s.ID == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// withFile does something to a file that nobody has open, which is taken from the journal if it is not being stored.
func (u *Uploads) withFile(ctx context.Context, buckets Buckets, id string, do func(*File) error) error {
	if f := u.byID(id); f != nil {
		if !f.forgotten() {
			return ErrBeingWritten
		}
		return do(f)
	}
	r, data, err := u.cfg.Journal.Look(id)
	if data != nil {
		_ = data.Close() // it was only read
	}
	if err == nil {
		err = r.Damage
	}
	if err != nil {
		return err
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		return err
	}
	if _, err := u.settleUploads(ctx, b, r); err != nil {
		return err
	}
	f, err := u.resume(b, id)
	if err != nil {
		return err
	}
	if r.State == journal.StateConflict {
		f.loseTo(r.Reason)
	}
	err = do(f)
	if err != nil {
		f.rest(err)
	}
	f.Close()
	return err
}

// forgotten tells whether nobody has the file open.
func (f *File) forgotten() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *File) conflict() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

func (f *File) key() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.target.Key
}

// loseTo has the file be in the conflict that its log tells of.
func (f *File) loseTo(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = fmt.Errorf("%w: %s", ErrReplaced, reason)
}

// calm has the next attempt not be waited for.
func (f *File) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retry.reset()
}

// rest has a file that a person wanted stored, and that could not be, stay in the journal until they ask again.
func (f *File) rest(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retry.cancel()
	if f.lost == nil {
		f.lost = why
	}
}

// retarget has the file be stored under a key: in place of what that holds, or only if it is new.
func (f *File) retarget(ctx context.Context, key string, fresh bool) error {
	f.mu.Lock()
	t := f.target
	f.mu.Unlock()
	t.Key, t.Replaces, t.Exclusive = key, objstore.Version{}, fresh
	if !fresh {
		e, err := t.Bucket.Stat(ctx, key)
		if err == nil {
			t.Replaces = objstore.VersionOf(t.Bucket, e)
		} else if !errors.Is(err, objstore.ErrNotExist) {
			return err
		}
	}
	_, err := f.Retarget(ctx, t)
	return err
}

// rename is a rename in the journal.
func (u *Uploads) rename(id string) (r journal.MovesRecord, found bool, err error) {
	all, err := u.cfg.Journal.Moves()
	if i := slices.IndexFunc(all, func(r journal.MovesRecord) bool { return r.ID == id }); i >= 0 {
		return all[i], true, err
	}
	return r, false, err
}

func (u *Uploads) retryRename(ctx context.Context, buckets Buckets, r journal.MovesRecord) error {
	if r.Damage != nil {
		return r.Damage
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		return err
	}
	_, err = u.mover.resume(ctx, b, r.ID, true, u.knownUploads())
	return err
}

func (u *Uploads) abortRename(ctx context.Context, buckets Buckets, r journal.MovesRecord) error {
	if r.Damage != nil {
		return u.cfg.Journal.DropMoves(r.ID)
	}
	b, err := buckets(ctx, r.Bucket)
	if err != nil {
		return err
	}
	return u.mover.giveUp(ctx, b, r.ID, u.knownUploads())
}

// Export writes what a file holds into a local one, and returns how long that is. It changes nothing, so that the mount
// whose journal it is may live. EIO when bytes are stored as parts, and nowhere else: no store gives parts back, so
// that such a file can only be stored whole. os.ErrNotExist when it was stored meanwhile.
func Export(ctx context.Context, dir *journal.Dir, id string, base Content, to *os.File) (size int64, err error) {
	r, data, err := dir.Look(id)
	if err != nil {
		return 0, err
	}
	if data != nil {
		defer data.Close()
	}
	length, err := dir.DataSize(id)
	if err != nil {
		return 0, err
	}
	c := contentOf(r, length, journal.Boot())
	if r.Damage != nil { // its bytes are all there is
		c = content{size: length, local: ranges{}.add(objstore.Range{Len: length})}
	}
	if len(c.released) > 0 {
		return 0, fmt.Errorf("upload: %d bytes are stored as parts, and nowhere else: %w", c.released.bytes(), syscall.EIO)
	}
	if err := to.Truncate(c.size); err != nil {
		return 0, err
	}
	for _, p := range c.pieces(objstore.Range{Len: c.size}) {
		var from io.Reader = io.NewSectionReader(data, p.Off, p.Len)
		if !p.local {
			from = &contentReader{ctx: ctx, from: base, v: c.base, rest: p.Range}
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, p.Off), from); err != nil {
			return 0, err
		}
	}
	if !dir.Has(id) { // stored meanwhile, and the file with its bytes may have become another's
		return 0, fmt.Errorf("upload: %s: %w", id, os.ErrNotExist)
	}
	return c.size, nil
}

// contentReader reads a range of a version.
type contentReader struct {
	ctx  context.Context
	from Content
	v    objstore.Version
	rest objstore.Range
}

func (c *contentReader) Read(p []byte) (int, error) {
	if c.rest.Empty() {
		return 0, io.EOF
	}
	want := int(min(int64(len(p)), c.rest.Len))
	n, err := c.from.ReadAt(c.ctx, c.v, p[:want], c.rest.Off)
	if err == nil && n < want {
		err = io.ErrUnexpectedEOF
	}
	c.rest.Off, c.rest.Len = c.rest.Off+int64(n), c.rest.Len-int64(n)
	return n, err
}

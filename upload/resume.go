package upload

import (
	"errors"
	"os"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// resume goes on with the file of a log. The caller closes it.
func (u *Uploads) resume(b objstore.Bucket, id string) (*File, error) {
	if err := u.reserve(id); err != nil {
		return nil, err
	}
	staging, r, err := u.cfg.Journal.Resume(id)
	if err != nil {
		u.forget(&File{resumed: id})
		return nil, err
	}
	info, err := staging.Data().Stat()
	if err != nil {
		u.forget(&File{resumed: id})
		return nil, errors.Join(err, staging.Close())
	}
	f := newFile(u, Target{Bucket: b, Key: r.Key, Replaces: r.Replaces, Exclusive: r.Exclusive, Attributes: r.Attributes, Metadata: r.Metadata}, r.Base)
	f.names = 1 // what a killed mount wrote last may not be on the disk
	f.content, f.staging, f.resumed = contentOf(r, info.Size(), journal.Boot()), staging, id
	f.resumeDoubt(r)
	f.charged = f.content.local.bytes()
	if m, ok := r.Current(); ok && len(r.Released) > 0 {
		f.multipart = u.resumeParts(b, m, f.content.released)
	}
	u.budget.force(f.charged)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list(f, r.Key)
	return f, nil
}

// reserve makes somebody the only one who goes on with a log, until its file is forgotten.
func (u *Uploads) reserve(id string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return os.ErrClosed
	}
	if _, taken := u.resumed[id]; taken {
		return ErrBeingWritten
	}
	u.resumed[id] = struct{}{}
	return nil
}

// resumeParts is a multipart upload with those of its parts that are nowhere else any more. The others are sent again:
// that nothing of them was changed afterwards, the log does not tell.
func (u *Uploads) resumeParts(b objstore.Bucket, from journal.Multipart, released ranges) *multipart {
	m := &multipart{bucket: b, key: from.Key, id: from.ID, ready: make(chan struct{}), slots: partSlots(b), parts: make(map[int]*part)}
	close(m.ready)
	for _, p := range from.Parts {
		where := objstore.Range{Off: p.Off, Len: p.Size}
		if where == u.sizes.at(p.Number) && released.covers(where) {
			m.parts[p.Number] = partSent(where, p.Part)
			m.parts[p.Number].gone = true
		}
	}
	return m
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// Replay is what the log of an upload comes to. A log that is damaged comes to what it was up to there, with Damage
// set.
func Replay(id string, log []byte) Record {
	r := Record{ID: id}
	begun := false
	for s, err := range steps(bytes.NewReader(log)) {
		if err == nil {
			err = r.follow(s, &begun)
		}
		if err != nil {
			r.Damage = err
			return r
		}
	}
	if !begun {
		r.Damage = fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	return r
}

// follow takes one step. One that cannot come here is damage.
func (r *Record) follow(s Step, begun *bool) error {
	if b, ok := s.(Begin); ok != !*begun {
		return fmt.Errorf("%w: step %s out of place", ErrDamaged, s.name())
	} else if ok {
		*begun = true
		r.Begin, r.Size = b, b.Base.Size
		return sane(b.Base.Size)
	}
	switch s := s.(type) {
	case Local, Truncate, Released, Retained, Closed:
		return r.followContent(s)
	case Intent, UploadID, Part, Aborted:
		return r.followMultipart(s)
	case Retarget:
		r.Key, r.Replaces, r.Exclusive, r.Attributes, r.Over = s.Key, s.Replaces, s.Exclusive, s.Attributes, s.Over
		if s.Base != nil {
			if err := sane(s.Base.Size); err != nil {
				return err
			}
			r.Base = *s.Base
		}
		if r.State == StateConflict {
			r.State, r.Reason = StateOpen, ""
		}
	case Synced:
		r.Acknowledged, r.synced = true, content{r.Size, slices.Clone(r.Local)}
	case Described:
		r.Metadata = s.Metadata
	case Unanswered:
		for _, one := range s.Bytes {
			if err := sane(one.Off, one.Len); err != nil {
				return err
			}
		}
		r.Unanswered = append(r.Unanswered, s)
	case Publishing:
		r.Publishing = true
	case Stored:
		return r.stored(s)
	case Conflict:
		r.State, r.Reason, r.Publishing = StateConflict, s.Reason, false
	case Failed:
		r.Reason = s.Reason
	case Discarded:
		r.State, r.Acknowledged = StateDiscarded, false
	default:
		return fmt.Errorf("%w: %s is no step of an upload", ErrDamaged, s.name())
	}
	return nil
}

// followContent takes the steps that say what the file contains.
func (r *Record) followContent(s Step) error {
	switch s := s.(type) {
	case Local:
		if err := sane(s.Off, s.Len); err != nil {
			return err
		}
		r.Local = ranges(r.Local).add(s.Range)
		r.Released = ranges(r.Released).remove(s.Range)
		if !s.Fetched {
			r.changed(s.Range)
		}
	case Truncate:
		if err := sane(s.Size); err != nil {
			return err
		}
		r.Local, r.Changed, r.Released = ranges(r.Local).cut(s.Size), ranges(r.Changed).cut(s.Size), ranges(r.Released).cut(s.Size)
		r.since = r.since.cut(s.Size)
		r.synced = r.synced.cut(s.Size)
		grown := objstore.Range{Off: r.Size, Len: s.Size - r.Size}
		r.Size = s.Size
		r.Local = ranges(r.Local).add(grown)
		r.changed(grown)
	case Released:
		if err := sane(s.Off, s.Len); err != nil {
			return err
		}
		r.Local, r.Released = ranges(r.Local).remove(s.Range), ranges(r.Released).add(s.Range)
		r.gone = r.synced.local.and(ranges{s.Range})
		r.synced.local = r.synced.local.remove(s.Range)
	case Retained:
		if err := sane(s.Off, s.Len); err != nil {
			return err
		}
		r.Local, r.Released = ranges(r.Local).add(s.Range), ranges(r.Released).remove(s.Range)
		for _, one := range r.gone.and(ranges{s.Range}) {
			r.synced.local = r.synced.local.add(one)
		}
	case Closed:
		return r.closed(s)
	}
	return nil
}

// changed notes that bytes differ from what is stored, or, with an empty range, that only the size does.
func (r *Record) changed(one objstore.Range) {
	r.Changed, r.since = ranges(r.Changed).add(one), r.since.add(one)
	r.Size = max(r.Size, one.End())
	if r.State == StateClosed || r.State == StateStored {
		r.State = StateOpen
	}
}

func (r *Record) closed(s Closed) error {
	if err := sane(s.Size); err != nil {
		return err
	}
	r.Size, r.Local, r.Changed, r.since = s.Size, nil, nil, nil
	for _, one := range s.Local {
		if err := sane(one.Off, one.Len); err != nil {
			return err
		}
		r.Local = ranges(r.Local).add(one)
	}
	for _, one := range s.Changed {
		if err := sane(one.Off, one.Len); err != nil {
			return err
		}
		r.Changed = ranges(r.Changed).add(one)
	}
	if r.State == StateOpen || r.State == StateStored {
		r.State = StateClosed
	}
	r.Metadata = s.Metadata
	return nil
}

// followMultipart takes the steps that are about multipart uploads.
func (r *Record) followMultipart(s Step) error {
	last := len(r.Uploads) - 1
	switch s := s.(type) {
	case Intent:
		r.Uploads = append(r.Uploads, Multipart{Key: s.Key, Initiated: s.At})
	case UploadID:
		if last < 0 || r.Uploads[last].ID != "" {
			return fmt.Errorf("%w: an upload id that was not intended", ErrDamaged)
		}
		r.Uploads[last].ID = s.ID
	case Part:
		if err := errors.Join(sane(s.Off, s.Size), sane(int64(s.Number))); err != nil {
			return err
		}
		if last < 0 || r.Uploads[last].ID == "" {
			return fmt.Errorf("%w: a part of no upload", ErrDamaged)
		}
		r.Uploads[last].putPart(s)
	case Aborted:
		r.forget(s.UploadID)
	}
	return nil
}

// forget drops a multipart upload; without an id, the last that was only intended.
func (r *Record) forget(id string) {
	for i := len(r.Uploads) - 1; i >= 0; i-- {
		if r.Uploads[i].ID == id {
			r.Uploads = slices.Delete(r.Uploads, i, i+1)
			return
		}
	}
}

// stored makes what was closed the content to compare with.
func (r *Record) stored(s Stored) error {
	if err := sane(s.Size); err != nil {
		return err
	}
	if s.UploadID != "" {
		r.forget(s.UploadID)
	}
	v := objstore.Version{Endpoint: r.Endpoint, Bucket: r.Bucket, Key: r.Key, ETag: s.ETag, Size: s.Size}
	r.Replaces, r.Base, r.Exclusive = v, v, false
	r.Changed, r.since, r.Released = r.since, nil, nil
	r.Acknowledged, r.Publishing, r.Unanswered, r.Reason = false, false, nil, ""
	if r.State == StateDiscarded {
		return nil
	}
	if r.State = StateStored; len(r.Changed) > 0 || r.Size != s.Size {
		r.State = StateOpen
	}
	return nil
}

// sane refuses numbers that no file has.
func sane(numbers ...int64) error {
	sum := int64(0)
	for _, n := range numbers {
		if n < 0 || n > math.MaxInt64-sum {
			return fmt.Errorf("%w: a number is out of range", ErrDamaged)
		}
		sum += n
	}
	return nil
}

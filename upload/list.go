package upload

import (
	"slices"
	"strings"
	"time"

	"github.com/headrace/headrace/upload/journal"
)

// StatusState is how it stands with something that is not stored.
type StatusState string

// The states.
const (
	StateWriting  StatusState = "writing"  // a process has the file open
	StateStoring  StatusState = "storing"  // now
	StateWaiting  StatusState = "waiting"  // to be stored: again in a moment, or by the next mount
	StateConflict StatusState = "conflict" // somebody else has put something under the name
	StateKept     StatusState = "kept"     // the mount died while the file was written
	StateMoving   StatusState = "moving"   // a rename
	StateRemoving StatusState = "removing" // the object that a renamed file had under its old name
	StateStopped  StatusState = "stopped"  // a rename, or such a removal, of which a part could not be done
	StateDamaged  StatusState = "damaged"  // what was noted about it cannot be read
)

// Status is one thing that is not stored: a file, or a rename of many objects.
type Status struct {
	ID      string      `json:"id,omitempty"` // of its log; empty when nothing was written yet
	State   StatusState `json:"state"`
	Bucket  string      `json:"bucket"`
	Key     string      `json:"key"`
	To      string      `json:"to,omitempty"`     // of a rename
	Size    int64       `json:"size"`             // bytes; of a rename, objects
	Sent    int64       `json:"sent"`             // of these, those that the store has
	Changed time.Time   `json:"changed,omitzero"` // when it was last written to; for one of a dead mount, when it was begun
	Reason  string      `json:"reason,omitempty"`
}

// Status tells of each thing that is not stored, those of mounts before this one too.
func (u *Uploads) Status() ([]Status, error) {
	kept, err := StatusAt(u.cfg.Journal)
	var all []Status
	live := make(map[string]bool)
	for _, f := range u.all() {
		s, unstored := f.live()
		live[s.ID] = true
		if unstored {
			all = append(all, s)
		}
	}
	for _, s := range kept {
		if !live[s.ID] && u.cfg.Journal.Has(s.ID) { // else it was stored just now
			all = append(all, s)
		}
	}
	return all, err
}

// StatusAt tells of each thing in a journal whose mount is dead.
func StatusAt(dir *journal.Dir) ([]Status, error) {
	records, err := dir.Uploads()
	if err != nil {
		return nil, err
	}
	var all []Status
	given := givenUp(records)
	for _, r := range records {
		if given[r.ID] && r.Damage == nil && len(r.Uploads) == 0 { // the next mount forgets it
			continue
		}
		data, err := dir.DataSize(r.ID)
		if err != nil {
			return nil, err
		}
		if s, ok := statusOf(r, data); ok {
			all = append(all, s)
		}
	}
	moves, err := dir.Moves()
	for _, r := range moves {
		all = append(all, statusOfMoves(r))
	}
	return all, err
}

// statusOf is how it stands with a file whose mount is dead; false where nothing of it is wanted.
func statusOf(r journal.Record, data int64) (Status, bool) {
	c := contentOf(r, data, journal.Boot())
	s := Status{ID: r.ID, Bucket: r.Bucket, Key: r.Key, Size: c.size, Changed: r.Created, Reason: r.Reason}
	if m, ok := r.Current(); ok {
		for _, p := range m.Parts {
			s.Sent += p.Size
		}
	}
	switch fateOf(r, data, journal.Boot()) {
	case fatePublish:
		s.State = StateWaiting
	case fateNothing:
		s.State, s.Reason = StateDamaged, r.Damage.Error()
	case fateForget:
		s.State, s.Reason = StateKept, "a multipart upload of it may be left in the store"
		return s, len(r.Uploads) > 0
	case fateKeep:
		s.State = StateKept
		if r.State == journal.StateConflict {
			s.State = StateConflict
		}
	}
	return s, true
}

func statusOfMoves(r journal.MovesRecord) Status {
	s := Status{
		ID: r.ID, State: StateMoving, Bucket: r.Bucket, Key: r.From, To: r.To, Size: r.Planned, Sent: r.Done, Changed: r.Created, Reason: r.Reason,
	}
	if r.To == "" {
		s.State, s.Size, s.Sent = StateRemoving, 0, 0
	}
	switch {
	case r.Damage != nil:
		s.State, s.Reason = StateDamaged, r.Damage.Error()
	case r.Stopped:
		s.State = StateStopped
	}
	return s
}

// SortStatus puts what needs a person first, and then by name.
func SortStatus[T any](all []T, status func(T) Status) {
	order := []StatusState{StateDamaged, StateConflict, StateStopped, StateKept, StateWaiting, StateStoring, StateMoving, StateRemoving, StateWriting}
	slices.SortFunc(all, func(first, second T) int {
		a, b := status(first), status(second)
		if d := slices.Index(order, a.State) - slices.Index(order, b.State); d != 0 {
			return d
		}
		return strings.Compare(a.Bucket+"/"+a.Key, b.Bucket+"/"+b.Key)
	})
}

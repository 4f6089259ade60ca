package journal

import (
	"slices"
	"time"

	"github.com/headrace/headrace/objstore"
)

// State is where an upload is in its life.
type State int

// The states.
const (
	StateOpen      State = iota // being written
	StateClosed                 // to be stored as it is: close or fsync was asked for
	StateConflict               // the key holds something else; the data is kept for its owner
	StateStored                 // all of it is stored
	StateDiscarded              // it was removed
)

// String is the state as people read it.
func (s State) String() string {
	if s < StateOpen || s > StateDiscarded {
		return "unknown"
	}
	return [...]string{"open", "closed", "conflict", "stored", "discarded"}[s]
}

// Multipart is a multipart upload that may be in the store.
type Multipart struct {
	Key       string
	ID        string    // empty: creating it was intended, and what came of it is not known
	Initiated time.Time // this side's clock, before the request
	Parts     []Part    // ascending
}

// Record is what the log of an upload comes to.
type Record struct {
	ID string // as in the names of its files

	Begin // as retargeted since; after something was stored, Replaces and Base are that

	State        State
	Acknowledged bool         // somebody was told that it is kept (write-back), and it is not stored yet
	Publishing   bool         // the object may have appeared, and nobody was there to see it
	Unanswered   []Unanswered // earlier attempts of which that is so
	Reason       string       // why it is not stored: of the last failure or the conflict
	Over         string       // the upload that it has taken the name of, by its last name

	Size                     int64
	Local, Changed, Released []objstore.Range
	Uploads                  []Multipart // the last is the one that parts go to

	Damage error // the log cannot be read further than this; nothing may be done by it

	since ranges // changed since what is closed was

	synced content // what was said to be on the disk last, less what was cut off and let go since
	gone   ranges  // of that, what was let go last
}

// Condition is what the object may be written under.
func (r Record) Condition() objstore.Condition {
	if r.Replaces.ETag != "" {
		return objstore.Condition{IfMatch: r.Replaces.ETag}
	}
	return objstore.Condition{IfNew: true}
}

// Empty tells whether nothing was ever written and nothing is asked for.
func (r Record) Empty() bool {
	return r.State == StateOpen && !r.Acknowledged && r.Damage == nil && len(r.Changed) == 0 && r.Size == r.Base.Size && len(r.Uploads) == 0
}

// Current is the multipart upload that parts go to.
func (r Record) Current() (Multipart, bool) {
	if len(r.Uploads) == 0 || r.Uploads[len(r.Uploads)-1].ID == "" {
		return Multipart{}, false
	}
	return r.Uploads[len(r.Uploads)-1], true
}

// putPart adds a part, in place of an earlier one of its number.
func (m *Multipart) putPart(p Part) {
	at, found := slices.BinarySearchFunc(m.Parts, p.Number, func(have Part, number int) int { return have.Number - number })
	if found {
		m.Parts[at] = p
		return
	}
	m.Parts = slices.Insert(m.Parts, at, p)
}

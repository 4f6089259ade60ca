package upload

import (
	"errors"
	"testing"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// TestFate: what becomes of each thing that a crash can leave.
func TestFate(t *testing.T) {
	changed := []objstore.Range{{Len: 5}}
	for name, c := range map[string]struct {
		record journal.Record
		want   fate
	}{
		"closed, and then the machine went down": {journal.Record{Begin: journal.Begin{Boot: "before"}, State: journal.StateClosed, Changed: changed}, fateKeep},
		"acknowledged, and then it went down":    {journal.Record{Begin: journal.Begin{Boot: "before"}, State: journal.StateClosed, Acknowledged: true}, fatePublish},
		"nothing was written":                    {journal.Record{}, fateForget},
		"being written":                          {journal.Record{Changed: changed, Size: 5}, fateKeep},
		"made shorter":                           {journal.Record{Begin: journal.Begin{Base: objstore.Version{Size: 9}}, Size: 5}, fateKeep},
		"nothing was written, but parts begun":   {journal.Record{Uploads: []journal.Multipart{{}}}, fateKeep},
		"closed":                                 {journal.Record{State: journal.StateClosed, Changed: changed}, fatePublish},
		"closed with nothing in it":              {journal.Record{State: journal.StateClosed}, fatePublish},
		"acknowledged, and written to again":     {journal.Record{Acknowledged: true, Changed: changed}, fatePublish},
		"stored":                                 {journal.Record{State: journal.StateStored}, fateForget},
		"stored, with an upload left":            {journal.Record{State: journal.StateStored, Uploads: []journal.Multipart{{}}}, fateForget},
		"stored, and written to again":           {journal.Record{Begin: journal.Begin{Base: objstore.Version{Size: 5}}, Changed: changed, Size: 5}, fateKeep},
		"removed":                                {journal.Record{State: journal.StateDiscarded, Changed: changed}, fateForget},
		"in conflict":                            {journal.Record{State: journal.StateConflict, Changed: changed}, fateKeep},
		"in conflict, and acknowledged":          {journal.Record{State: journal.StateConflict, Acknowledged: true}, fateKeep},
		"closed, by a log that is damaged":       {journal.Record{State: journal.StateClosed, Damage: errors.New("")}, fateNothing},
		"written nothing, by a log that is bad":  {journal.Record{Damage: errors.New("")}, fateNothing},
	} {
		if got := fateOf(c.record, 0, ""); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestFateOfUnlogged: what was written last before a crash is in the data only, and is kept.
func TestFateOfUnlogged(t *testing.T) {
	if got := fateOf(journal.Record{}, 5, ""); got != fateKeep {
		t.Errorf("a new file with data: %d", got)
	}
	c := contentOf(journal.Record{Size: 3, Changed: []objstore.Range{{Len: 3}}}, 5, "")
	if c.size != 5 || !c.local.covers(objstore.Range{Len: 5}) {
		t.Errorf("a new file whose log is behind: %+v", c)
	}
	base := objstore.Version{ETag: "e", Size: 9}
	c = contentOf(journal.Record{Begin: journal.Begin{Base: base}, Size: 9, Local: []objstore.Range{{Len: 3}}}, 5, "")
	if c.size != 9 || c.local.covers(objstore.Range{Len: 5}) {
		t.Errorf("a changed file: %+v", c)
	}
}

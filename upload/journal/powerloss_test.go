package journal

import (
	"errors"
	"os"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// What a file is after a loss of power, by what its log says and how long its data is.
func TestAfterPowerLoss(t *testing.T) {
	base := objstore.Version{ETag: "old", Size: 100}
	acknowledged := []Step{closing(100, at(10, 20)), Synced{}}
	part := []Step{Intent{Key: "k"}, UploadID{"u"}, Part{Part: objstore.Part{Number: 1, ETag: "p", Size: 50}}, Released{Range: at(0, 50)}}
	for name, c := range map[string]struct {
		base  objstore.Version
		steps [][]Step
		data  int64
		want  string
	}{
		"synced":                       {base, [][]Step{acknowledged}, 30, "closed k size 100 local [[10,30)] changed [[10,30)] over old acknowledged"},
		"written since":                {base, [][]Step{acknowledged, {Local{Range: at(5, 10)}, Local{Range: at(90, 50)}}}, 140, "closed k size 100 local [[10,30)] changed [[10,30)] over old acknowledged"},
		"closed since":                 {base, [][]Step{acknowledged, {closing(140, at(5, 135))}}, 140, "closed k size 100 local [[10,30)] changed [[10,30)] over old acknowledged"},
		"synced since":                 {base, [][]Step{acknowledged, {closing(140, at(5, 135)), Synced{}}}, 140, "closed k size 140 local [[5,140)] changed [[5,140)] over old acknowledged"},
		"cut since":                    {base, [][]Step{acknowledged, {Truncate{20}, Truncate{50}}}, 50, "closed k size 20 local [[10,20)] changed [[10,20)] over old acknowledged"},
		"cut, and the log is behind":   {base, [][]Step{acknowledged}, 15, "closed k size 15 local [[10,15)] changed [[10,15)] over old acknowledged"},
		"fetched":                      {base, [][]Step{{Local{Range: at(0, 5), Fetched: true}, Local{Range: at(9, 1)}, Closed{Size: 100, Local: []objstore.Range{at(0, 5), at(9, 1)}, Changed: []objstore.Range{at(9, 1)}}, Synced{}}}, 10, "closed k size 100 local [[0,5) [9,10)] changed [[9,10)] over old acknowledged"},
		"let go since, and longer":     {objstore.Version{}, [][]Step{{closing(40, at(0, 40)), Synced{}, Local{Range: at(40, 30)}}, part}, 70, `closed k size 50 local [] changed [[0,50)] released [[0,50)] upload "u" 1:p acknowledged`},
		"let go behind what is synced": {objstore.Version{}, [][]Step{{closing(40, at(0, 40)), Synced{}, Local{Range: at(40, 70)}}, {Released{Range: at(50, 50)}}}, 110, `closed k size 100 local [[0,50)] changed [[0,100)] released [[50,100)] acknowledged`},
		"not let go after all":         {objstore.Version{}, [][]Step{{closing(40, at(0, 40)), Synced{}, Local{Range: at(40, 30)}}, part, {Retained{at(0, 50)}, Local{Range: at(5, 5)}}}, 70, `closed k size 40 local [[0,40)] changed [[0,40)] upload "u" 1:p acknowledged`},
	} {
		steps := []Step{Begin{Bucket: "b", Key: "k", Replaces: c.base, Base: c.base}}
		for _, more := range c.steps {
			steps = append(steps, more...)
		}
		r := Replay("id", logOf(t, steps...)).AfterPowerLoss(c.data)
		check(t, r)
		if got := state(r); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// Lines that may not have reached the disk before the machine went down are no damage where they are missing, unless
// what followed them says that they had; in the same run of the machine they always are. What says that the data is
// synced, or that bytes are let go, is relied on when it is on the disk: in the middle of that the power may go.
func TestLinesLostWithPower(t *testing.T) {
	for _, boot := range []string{Boot(), "another"} {
		for name, c := range map[string]struct {
			before, lost, after []Step
			damage              bool
		}{
			"behind the last sync":                  {[]Step{closing(5, at(0, 5)), Synced{}}, []Step{Local{Range: at(5, 5)}}, []Step{Publishing{}}, false},
			"before a sync":                         {[]Step{closing(5, at(0, 5)), Synced{}}, []Step{Local{Range: at(5, 5)}}, []Step{Synced{}, Part{}}, false},
			"before a sync relied on":               {[]Step{closing(5, at(0, 5))}, []Step{Local{Range: at(5, 5)}}, []Step{Synced{}, Publishing{}}, true},
			"before two syncs":                      {[]Step{closing(5, at(0, 5))}, []Step{Local{Range: at(5, 5)}}, []Step{Synced{}, Synced{}}, true},
			"before what is to be let go":           {[]Step{closing(5, at(0, 5)), Synced{}}, []Step{Local{Range: at(5, 5)}}, []Step{Released{Range: at(0, 5), Synced: true}}, false},
			"before what was let go":                {[]Step{closing(5, at(0, 5)), Synced{}}, []Step{Local{Range: at(5, 5)}}, []Step{Released{Range: at(0, 5), Synced: true}, Local{Range: at(9, 1)}}, true},
			"before what was let go without a sync": {[]Step{closing(5, at(0, 5)), Synced{}}, []Step{Local{Range: at(5, 5)}}, []Step{Released{Range: at(0, 5)}}, true},
		} {
			d := create(t, t.TempDir())
			u, err := d.Begin(Begin{Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			log := append(logOf(t, Begin{Key: "k", Boot: boot}), logOf(t, c.before...)...)
			log = append(append(log, make([]byte, len(logOf(t, c.lost...)))...), logOf(t, c.after...)...)
			if err := os.WriteFile(d.file(u.ID()+logSuffix), log, 0o600); err != nil {
				t.Fatal(err)
			}
			damage := c.damage || boot == Boot()
			again, r, err := d.Resume(u.ID())
			if errors.Is(err, ErrDamaged) != damage {
				t.Errorf("%s, boot %q: %+v, %v", name, boot, r, err)
			}
			all, err := d.Uploads()
			if err != nil || len(all) != 1 || (all[0].Damage != nil) != damage {
				t.Errorf("%s, boot %q: %+v, %v", name, boot, all, err)
			}
			if damage {
				continue
			}
			if !r.Acknowledged {
				t.Errorf("%s: what was synced is not gone by: %+v", name, r)
			}
			if err := again.Note(Failed{"why"}); err != nil {
				t.Fatal(err)
			}
			if r, data, err := d.Look(u.ID()); err != nil || r.Damage != nil || r.Reason != "why" || r.Size != 5 || data.Close() != nil {
				t.Errorf("%s: gone on with, it is %+v, %v", name, r, err)
			}
		}
	}
}

// A line that is not as it was written, and not for want of a page, is damage when what follows says that it is on the
// disk.
func TestDamageBeforeASync(t *testing.T) {
	before, after := logOf(t, Begin{Key: "k", Boot: "another"}, Local{Range: at(0, 5)}), logOf(t, Synced{})
	log := append(append(before, after[:4]...), append([]byte{0, 0}, append(after[6:], after...)...)...)
	if got := Replay("id", survived(log)); !errors.Is(got.Damage, ErrDamaged) {
		t.Errorf("it is %s", state(got))
	}
}

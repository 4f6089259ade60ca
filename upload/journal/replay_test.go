package journal

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

func at(off, length int64) objstore.Range { return objstore.Range{Off: off, Len: length} }

func logOf(t testing.TB, all ...Step) []byte {
	t.Helper()
	var log []byte
	for _, s := range all {
		one, err := line(s)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, one...)
	}
	return log
}

// state is a record as scripts of tests show it.
func state(r Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s size %d local %v changed %v", r.State, r.Key, r.Size, r.Local, r.Changed)
	if len(r.Released) > 0 {
		fmt.Fprintf(&b, " released %v", r.Released)
	}
	if r.Replaces.ETag != "" {
		fmt.Fprintf(&b, " over %s", r.Replaces.ETag)
	}
	for _, u := range r.Uploads {
		fmt.Fprintf(&b, " upload %q", u.ID)
		for _, p := range u.Parts {
			fmt.Fprintf(&b, " %d:%s", p.Number, p.ETag)
		}
	}
	if r.Acknowledged {
		b.WriteString(" acknowledged")
	}
	if r.Publishing {
		b.WriteString(" publishing")
	}
	if len(r.Unanswered) > 0 {
		fmt.Fprintf(&b, " %d unanswered", len(r.Unanswered))
	}
	if r.Reason != "" {
		fmt.Fprintf(&b, " because %s", r.Reason)
	}
	if r.Damage != nil {
		b.WriteString(" damaged")
	}
	return b.String()
}

func closing(size int64, changed ...objstore.Range) Closed {
	return Closed{Size: size, Local: changed, Changed: changed}
}

// TestReplay: the state after each step of the life of an upload.
func TestReplay(t *testing.T) {
	old := objstore.Version{Endpoint: "e", Bucket: "b", Key: "k", ETag: "old", Size: 100}
	type line struct {
		step Step
		want string
	}
	for name, script := range map[string][]line{
		"a new file": {
			{Begin{Bucket: "b", Key: "k"}, "open k size 0 local [] changed []"},
			{Local{Range: at(0, 10)}, "open k size 10 local [[0,10)] changed [[0,10)]"},
			{Truncate{5}, "open k size 5 local [[0,5)] changed [[0,5)]"},
			{Truncate{8}, "open k size 8 local [[0,8)] changed [[0,8)]"},
			{closing(8, at(0, 8)), "closed k size 8 local [[0,8)] changed [[0,8)]"},
			{Publishing{}, "closed k size 8 local [[0,8)] changed [[0,8)] publishing"},
			{Failed{"503"}, "closed k size 8 local [[0,8)] changed [[0,8)] publishing because 503"},
			{Stored{ETag: "new", Size: 8}, "stored k size 8 local [[0,8)] changed [] over new"},
		},
		"an old file, changed while it is stored": {
			{Begin{Bucket: "b", Key: "k", Replaces: old, Base: old}, "open k size 100 local [] changed [] over old"},
			{Local{Range: at(0, 50), Fetched: true}, "open k size 100 local [[0,50)] changed [] over old"},
			{Local{Range: at(90, 20)}, "open k size 110 local [[0,50) [90,110)] changed [[90,110)] over old"},
			{closing(110, at(90, 20)), "closed k size 110 local [[90,110)] changed [[90,110)] over old"},
			{Synced{}, "closed k size 110 local [[90,110)] changed [[90,110)] over old acknowledged"},
			{Publishing{}, "closed k size 110 local [[90,110)] changed [[90,110)] over old acknowledged publishing"},
			{Unanswered{Size: 110}, "closed k size 110 local [[90,110)] changed [[90,110)] over old acknowledged publishing 1 unanswered"},
			{Local{Range: at(0, 5)}, "open k size 110 local [[0,5) [90,110)] changed [[0,5) [90,110)] over old acknowledged publishing 1 unanswered"},
			{Stored{ETag: "new", Size: 110}, "open k size 110 local [[0,5) [90,110)] changed [[0,5)] over new"},
		},
		"parts": {
			{Begin{Bucket: "b", Key: "k"}, "open k size 0 local [] changed []"},
			{Local{Range: at(0, 200)}, "open k size 200 local [[0,200)] changed [[0,200)]"},
			{Intent{Key: "k"}, `open k size 200 local [[0,200)] changed [[0,200)] upload ""`},
			{UploadID{"u1"}, `open k size 200 local [[0,200)] changed [[0,200)] upload "u1"`},
			{Part{Part: objstore.Part{Number: 2, ETag: "p2", Size: 100}, Off: 100}, `open k size 200 local [[0,200)] changed [[0,200)] upload "u1" 2:p2`},
			{Part{Part: objstore.Part{Number: 1, ETag: "p1", Size: 100}}, `open k size 200 local [[0,200)] changed [[0,200)] upload "u1" 1:p1 2:p2`},
			{Part{Part: objstore.Part{Number: 2, ETag: "again", Size: 100}, Off: 100}, `open k size 200 local [[0,200)] changed [[0,200)] upload "u1" 1:p1 2:again`},
			{Released{Range: at(0, 100)}, `open k size 200 local [[100,200)] changed [[0,200)] released [[0,100)] upload "u1" 1:p1 2:again`},
			{Retained{at(0, 100)}, `open k size 200 local [[0,200)] changed [[0,200)] upload "u1" 1:p1 2:again`},
			{Released{Range: at(0, 100)}, `open k size 200 local [[100,200)] changed [[0,200)] released [[0,100)] upload "u1" 1:p1 2:again`},
			{Closed{Size: 200, Local: []objstore.Range{at(100, 100)}, Changed: []objstore.Range{at(0, 200)}}, `closed k size 200 local [[100,200)] changed [[0,200)] released [[0,100)] upload "u1" 1:p1 2:again`},
			{Stored{ETag: "new", Size: 200, UploadID: "u1"}, "stored k size 200 local [[100,200)] changed [] over new"},
		},
		"another name while parts are sent": {
			{Begin{Bucket: "b", Key: "k"}, "open k size 0 local [] changed []"},
			{Intent{Key: "k"}, `open k size 0 local [] changed [] upload ""`},
			{UploadID{"u1"}, `open k size 0 local [] changed [] upload "u1"`},
			{Retarget{Key: "l", Replaces: old}, `open l size 0 local [] changed [] over old upload "u1"`},
			{Intent{Key: "l"}, `open l size 0 local [] changed [] over old upload "u1" upload ""`},
			{Aborted{}, `open l size 0 local [] changed [] over old upload "u1"`},
			{Aborted{"u1"}, "open l size 0 local [] changed [] over old"},
		},
		"a conflict, and a way out": {
			{Begin{Bucket: "b", Key: "k"}, "open k size 0 local [] changed []"},
			{closing(0), "closed k size 0 local [] changed []"},
			{Synced{}, "closed k size 0 local [] changed [] acknowledged"},
			{Conflict{"exists"}, "conflict k size 0 local [] changed [] acknowledged because exists"},
			{closing(0), "conflict k size 0 local [] changed [] acknowledged because exists"},
			{Retarget{Key: "l"}, "open l size 0 local [] changed [] acknowledged"},
			{Stored{ETag: "e", Size: 0}, "stored l size 0 local [] changed [] over e"},
		},
		"removed": {
			{Begin{Bucket: "b", Key: "k"}, "open k size 0 local [] changed []"},
			{closing(0), "closed k size 0 local [] changed []"},
			{Synced{}, "closed k size 0 local [] changed [] acknowledged"},
			{Discarded{}, "discarded k size 0 local [] changed []"},
			{Local{Range: at(0, 1)}, "discarded k size 1 local [[0,1)] changed [[0,1)]"},
			{Stored{ETag: "e"}, "discarded k size 1 local [[0,1)] changed [[0,1)] over e"},
		},
		"a part of nothing":    {{Begin{Key: "k"}, "open k size 0 local [] changed []"}, {Part{}, "open k size 0 local [] changed [] damaged"}},
		"an id of nothing":     {{Begin{Key: "k"}, "open k size 0 local [] changed []"}, {UploadID{"u"}, "open k size 0 local [] changed [] damaged"}},
		"not from the start":   {{Truncate{5}, "open  size 0 local [] changed [] damaged"}},
		"from the start twice": {{Begin{Key: "k"}, "open k size 0 local [] changed []"}, {Begin{Key: "l"}, "open k size 0 local [] changed [] damaged"}},
		"no file has this":     {{Begin{Key: "k"}, "open k size 0 local [] changed []"}, {Local{Range: at(1<<62, 1<<62)}, "open k size 0 local [] changed [] damaged"}},
		"a step of a rename":   {{Begin{Key: "k"}, "open k size 0 local [] changed []"}, {listed{}, "open k size 0 local [] changed [] damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log []byte
			for _, l := range script {
				log = append(log, logOf(t, l.step)...)
				if got := state(Replay("id", log)); got != l.want {
					t.Errorf("after %s %+v:\n got %s\nwant %s", l.step.name(), l.step, got, l.want)
				}
			}
		})
	}
}

// everyStep is one of each, with all that can stand in them.
func everyStep() []Step {
	v := objstore.Version{Endpoint: "e", Bucket: "b", Key: "k\xfe\x00 \n\"", ETag: "x", Size: 3}
	attrs := objstore.Attributes{ContentType: "t", Metadata: map[string]string{"a": "b\xff", "c": "base64:"}, StorageClass: "s", Headers: map[string]string{"Content-Disposition": "b\xff"}}
	now := time.Unix(77, 5).UTC()
	return []Step{
		Begin{Bucket: "b", Endpoint: "e", Key: "base64:\xff", Replaces: v, Base: v, Exclusive: true, Attributes: attrs, Created: now},
		Local{Range: at(1, 2), Fetched: true},
		Truncate{9},
		Released{Range: at(3, 4), Synced: true},
		Retarget{Key: "\xff\n", Replaces: v, Exclusive: true, Attributes: attrs},
		Intent{Key: "\xff", At: now},
		UploadID{"id"},
		Part{Part: objstore.Part{Number: 3, ETag: "p", Size: 4}, Off: 5},
		Closed{Size: 9, Local: []objstore.Range{at(1, 2)}, Changed: []objstore.Range{at(3, 4)}},
		Synced{},
		Publishing{},
		Failed{"why"},
		Aborted{"id"},
		Stored{ETag: "e", Size: 9, UploadID: "id"},
		Conflict{"why"},
		Discarded{},
		Unanswered{Size: 9, Bytes: []objstore.Range{at(1, 2)}, Sum: []byte("sum\xff")},
		Described{map[string]string{"mode": "33188", "xattr": ""}},
		Retained{at(3, 4)},
	}
}

// TestStepsSurvive: a step reads as it was written, whatever bytes it has.
func TestStepsSurvive(t *testing.T) {
	all := append(everyStep(), beginMoves{MovesHead{Bucket: "b", Endpoint: "e", From: "\xff/", To: "base64:/", Created: time.Unix(1, 0).UTC()}},
		planned{Move{From: "a\xff", To: "b\xff", ETag: "e", Size: 5, Condition: objstore.Condition{IfNew: true}}}, listed{}, moved{5}, unmoved{6, "why"},
		copyIntent{1, time.Unix(1, 0).UTC()}, copyBegun{1, "id"}, copyEnded{1}, stopped{})
	n := 0
	for got, err := range steps(bytes.NewReader(logOf(t, all...))) {
		if err != nil || !reflect.DeepEqual(got, all[n]) {
			t.Errorf("read %#v, written %#v: %v", got, all[n], err)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("%d of %d", n, len(all))
	}
}

// TestTruncatedLog: a log that ends anywhere is what its whole lines say.
func TestTruncatedLog(t *testing.T) {
	log := logOf(t, everyStep()...)
	for n := range log {
		whole := log[:bytes.LastIndexByte(log[:n], '\n')+1]
		got, want := Replay("id", log[:n]), Replay("id", whole)
		if (got.Damage != nil) != (len(whole) == 0) {
			t.Fatalf("%d bytes: %v", n, got.Damage)
		}
		got.Damage, want.Damage = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%d bytes: %+v, want %+v", n, got, want)
		}
	}
}

// TestDamagedLog: no changed bit goes unnoticed, but in the newline at the end, which makes the last line one that was
// not written whole.
func TestDamagedLog(t *testing.T) {
	log := logOf(t, everyStep()...)
	for n := range len(log) - 1 {
		for bit := range 8 {
			bad := bytes.Clone(log)
			bad[n] ^= 1 << bit
			if r := Replay("id", bad); !errors.Is(r.Damage, ErrDamaged) {
				t.Fatalf("bit %d of byte %d: %+v", bit, n, r)
			}
		}
	}
	zeros := append(bytes.Clone(log), make([]byte, 4096)...) // a file whose last bytes did not reach the disk
	if r := Replay("id", zeros); r.Damage != nil {
		t.Errorf("zeros at the end: %v", r.Damage)
	}
}

// FuzzReplay: whatever stands in a log, with right checksums and without, it comes to a record whose numbers make
// sense.
func FuzzReplay(f *testing.F) {
	f.Add(logOf(f, everyStep()...))
	f.Add([]byte("begin {\"Key\":\"k\"}\nlocal {\"Off\":5,\"Len\":9223372036854775807}\nclosed {\"Size\":-1}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		check(t, Replay("id", content))
		var signed []byte
		for one := range bytes.Lines(content) {
			one = bytes.TrimSuffix(one, []byte("\n"))
			if len(one) > crcDigits && one[crcDigits] == ' ' { // it may be a line already
				one = one[crcDigits+1:]
			}
			signed = fmt.Appendf(signed, "%s %s\n", checksum(one), one)
		}
		check(t, Replay("id", signed))
		replayMoves("id", bytes.NewReader(signed))
	})
}

// check is what holds for every record.
func check(t *testing.T, r Record) {
	t.Helper()
	if r.Size < 0 {
		t.Errorf("size %d", r.Size)
	}
	for _, set := range [][]objstore.Range{r.Local, r.Changed, r.Released, r.since} {
		for i, one := range set {
			if one.Off < 0 || one.Empty() || one.End() < one.Off || i > 0 && set[i-1].End() >= one.Off {
				t.Errorf("ranges %v", set)
			}
		}
	}
	for _, u := range r.Uploads {
		for i, p := range u.Parts {
			if p.Number < 0 || p.Size < 0 || p.Off < 0 || i > 0 && u.Parts[i-1].Number >= p.Number {
				t.Errorf("parts %v", u.Parts)
			}
		}
	}
}

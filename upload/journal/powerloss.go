package journal

import (
	"bytes"
	"slices"

	"github.com/headrace/headrace/objstore"
)

// A loss of power leaves of a file what was synced; of what was written since, the disk may have any part, and of a
// file that has become longer zeros. The log and the data are two files: what the one says the other has may not be
// there.

// content is what was said to be on the disk: a size, and which bytes are in the data file.
type content struct {
	size  int64
	local ranges
}

func (c content) cut(size int64) content { return content{min(c.size, size), c.local.cut(size)} }

// AfterPowerLoss is the record of a file that was acknowledged before the machine went down, as it was synced last,
// with so many bytes of data now. What was written since is not gone by, but where the bytes that it replaced are gone
// with it: those that were let go from the disk, and those that were cut off.
func (r Record) AfterPowerLoss(data int64) Record {
	size := r.synced.size
	if n := len(r.Released); n > 0 {
		size = max(size, r.Released[n-1].End())
	}
	r.Local = r.synced.local.add(objstore.Range{Off: r.synced.size, Len: size - r.synced.size})
	for _, gone := range r.Released {
		r.Local = ranges(r.Local).remove(gone)
	}
	if n := len(r.Local); n > 0 && r.Local[n-1].End() > data { // it was cut, and the log did not come to say so
		size = data
		r.Local, r.Released = ranges(r.Local).cut(size), ranges(r.Released).cut(size)
	}
	here := ranges(slices.Clone(r.Local))
	for _, gone := range r.Released {
		here = here.add(gone)
	}
	changed := ranges(r.Changed).add(objstore.Range{Off: r.synced.size, Len: size - r.synced.size})
	r.Size, r.Changed, r.since = size, changed.and(here), nil
	if r.State == StateOpen {
		r.State = StateClosed
	}
	return r
}

// survived is what counts of a log. Of one from before the machine went down, lines behind the last that was synced may
// be missing from the middle, a page of the disk that came late: what comes after such a place was not relied on. Where
// it was, this is damage: see [relied].
func survived(log []byte) []byte {
	boot, good := "", 0
	for one := range bytes.Lines(log) {
		s, ok := whole(one)
		if !ok {
			break
		}
		if b, is := s.(Begin); is {
			boot = b.Boot
		}
		good += len(one)
	}
	if boot == "" || boot == Boot() || relied(log[good:]) {
		return log
	}
	return log[:good]
}

// relied tells whether somebody relied on what begins with a line that is not whole. A line that says that the data is
// synced, or that bytes are let go, is relied on once it is on the disk itself, with all before it: so the power may
// have gone while that was waited for, and then a page came late, which is zeros, and nothing follows but what others
// note who do not wait.
func relied(rest []byte) bool {
	claimed := false
	for one := range bytes.Lines(rest) {
		s, _ := whole(one[bytes.LastIndexByte(one, 0)+1:]) // the missing page is zeros, and has no newline
		switch s := s.(type) {
		case nil, Intent, UploadID, Part, Aborted, Described:
			continue
		case Released:
			if !s.Synced { // whoever noted it did not wait
				return true
			}
		case Synced:
		default:
			if !claimed {
				continue
			}
		}
		if claimed {
			return true
		}
		claimed = true
	}
	first, _, _ := bytes.Cut(rest, []byte("\n"))
	return claimed && !bytes.Contains(first, make([]byte, latePage))
}

// latePage is how many zeros in a row, in bytes, are taken for a page that came late: no line has any, nor do bits that
// flip make so many.
const latePage = 16

// whole is a line's step.
func whole(one []byte) (Step, bool) {
	text, ended := bytes.CutSuffix(one, []byte("\n"))
	if !ended {
		return nil, false
	}
	s, err := parseLine(text)
	return s, err == nil
}

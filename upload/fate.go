package upload

import (
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// fate is what becomes of an upload that a dead mount has left.
type fate int

const (
	fateKeep    fate = iota // for its owner to decide; what nobody needs of it in the store is aborted
	fatePublish             // it was acknowledged, or was about to be
	fateForget              // it is stored, or there is nothing in it
	fateNothing             // its log cannot be trusted: it is shown, and left alone
)

// fateOf decides by what the log says, how many bytes of data are there, and which run of the machine this is. What
// close(2) or fsync(2) was asked for is published: somebody may have been told that it is kept, or was about to be.
// What nobody has closed is kept: half a file in place of a whole one helps nobody. So is what was closed, but not on
// the disk for certain, before the machine went down.
func fateOf(r journal.Record, data int64, boot string) fate {
	switch {
	case r.Damage != nil:
		return fateNothing
	case r.State == journal.StateConflict:
		return fateKeep
	case r.State == journal.StateStored, r.State == journal.StateDiscarded, r.Empty() && (data == 0 || r.Base.ETag != ""):
		return fateForget
	case r.Acknowledged, r.State == journal.StateClosed && r.Boot == boot:
		return fatePublish
	}
	return fateKeep
}

// contentOf is what the file of a log holds, of which so many bytes of data are there, in this run of the machine. What
// was acknowledged before it went down is what was synced. The log of a file that began as nothing, and was not closed,
// may be behind the data: what such a file holds is all its own.
func contentOf(r journal.Record, data int64, boot string) content {
	if r.Acknowledged && r.Boot != boot {
		r = r.AfterPowerLoss(data)
	}
	c := content{base: r.Base, size: r.Size, local: r.Local, released: r.Released, changed: r.Changed, dirty: true}
	if r.Base.ETag == "" && r.State != journal.StateClosed {
		c.size = max(c.size, data)
		whole := objstore.Range{Len: c.size}
		c.local, c.changed = ranges{}.add(whole), ranges{}.add(whole)
		for _, gone := range c.released {
			c.local = c.local.remove(gone)
		}
	}
	return c
}

package disk

import (
	"slices"

	"github.com/headrace/headrace/objstore"
)

// admission is that a reader, a number that stands for somebody's credentials, may read a version.
type admission struct {
	version versionHash
	reader  uint64
}

// maxAdmissions is how many are remembered apart from the catalog: more than the writer is ever behind.
const maxAdmissions = 1 << 12

// Admits tells whether a reader, a number that stands for somebody's credentials, is known to be allowed to read a
// version: because it came by these credentials, or because Admit said so.
func (t *Tier) Admits(v objstore.Version, reader uint64) bool {
	h := hashVersion(v)
	r, ok, err := t.catalog.version(h)
	return ok && err == nil && (slices.Contains(r.readers, reader) || t.readers.Contains(admission{h, reader}))
}

// Admit notes that a reader may read a version: the store has said so. A reader waits for it, so it does not wait for
// the disk: what the writer has no time for is not written down, and the store is asked again in the next process's
// life.
func (t *Tier) Admit(v objstore.Version, reader uint64) {
	h := hashVersion(v)
	t.readers.Add(admission{h, reader}, struct{}{})
	select {
	case t.orders <- func() {
		r, ok, err := t.catalog.version(h)
		if err != nil {
			t.fail("read index", err)
		}
		if ok && err == nil && r.admit(reader) {
			t.catalog.mark(h, r)
		}
	}:
	default:
	}
}

// maxReaders bounds the readers of a version; the one who came first goes.
const maxReaders = 16

// admit notes that a reader may read the version: false when that was known.
func (r *versionRecord) admit(reader uint64) bool {
	if slices.Contains(r.readers, reader) {
		return false
	}
	r.readers = append(slices.Clone(r.readers), reader) // the catalog hands out records that share it
	r.readers = r.readers[max(0, len(r.readers)-maxReaders):]
	return true
}
